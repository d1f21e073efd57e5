"""Callers by their tokens, for as long as nothing in the database that concerns them has changed."""

from collections import OrderedDict

from imagewarden.identity.tokens import TokenCaller, token_hash

__all__ = ["KnownCallers"]

_MOST = 10_000
"""Tokens that are remembered; the one that was not used for longest goes first."""


class KnownCallers:
    """Good tokens and whose they are, in this process's memory; texts of tokens are not kept."""

    def __init__(self) -> None:
        self._identities = -1
        self._found: OrderedDict[bytes, TokenCaller] = OrderedDict()

    def find(self, text: str, identities: int | None, now: int) -> TokenCaller | None:
        """Return whose token this is, if that is known and still so at `now`, ms.

        `identities` grows with every change of the database's identities, None where the database does not say: then
        what was true when it last did goes on.
        """
        if identities is not None and identities != self._identities:
            self._found.clear()
            self._identities = identities
        digest = token_hash(text)
        found = self._found.get(digest)
        if found is None:
            return None
        if found.expires_at <= now:
            del self._found[digest]
            return None
        self._found.move_to_end(digest)
        return found

    def add(self, text: str, identities: int, found: TokenCaller) -> None:
        """Remember a caller who was read from the database after `identities` was."""
        if identities == self._identities:
            self._found[token_hash(text)] = found
            if len(self._found) > _MOST:
                self._found.popitem(last=False)
