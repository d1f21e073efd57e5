"""What registries hold beside images: build attestations, signatures, lists of contents, charts."""

import base64
from typing import Any

from demo.content import OCI, Blob, Layer, Manifest, index, manifest, to_json

__all__ = ["attestation", "chart", "contents", "signature"]

_EMPTY = Blob("application/vnd.oci.empty.v1+json", b"{}")
_STATEMENT = "https://in-toto.io/Statement/v0.1"
_PROVENANCE = "https://slsa.dev/provenance/v0.2"


def attestation(subject: Manifest) -> Manifest:
    """Return the attestation manifest a build leaves beside its image (BuildKit, attestation-storage.md)."""
    statement = to_json(
        {
            "_type": _STATEMENT,
            "predicateType": _PROVENANCE,
            "subject": [{"name": "image", "digest": {"sha256": subject.digest.partition(":")[2]}}],
            "predicate": {
                "builder": {"id": "https://build.example.test"},
                "buildType": "https://build.example.test/v1",
            },
        }
    )
    layer = Blob("application/vnd.in-toto+json", statement, {"in-toto.io/predicate-type": _PROVENANCE})
    config = _nameless_config(layer, "unknown")
    marks = {"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": subject.digest}
    platform = {"platform": {"architecture": "unknown", "os": "unknown"}}
    return manifest([config, layer], extra=platform, annotations=marks)


def signature(subject: Manifest, repository: str) -> Manifest:
    """Return a manifest shaped like a cosign signature, with bytes that sign nothing (cosign, SIGNATURE_SPEC.md)."""
    payload = to_json(
        {
            "critical": {
                "identity": {"docker-reference": f"registry.example.test/{repository}"},
                "image": {"docker-manifest-digest": subject.digest},
                "type": "cosign container image signature",
            },
            "optional": None,
        }
    )
    nothing = base64.b64encode(b"signs nothing: made for a demonstration").decode()
    marks = {"dev.cosignproject.cosign/signature": nothing}
    layer = Blob("application/vnd.dev.cosign.simplesigning.v1+json", payload, marks)
    return manifest([_nameless_config(layer, ""), layer])


def contents(subject: Manifest, packages: list[str]) -> Manifest:
    """Return the index a client without the referrers API leaves: an SPDX list of contents (distribution-spec)."""
    document = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": "image",
        "documentNamespace": f"https://build.example.test/{subject.digest}",
        "creationInfo": {"created": "2025-06-12T09:30:00Z", "creators": ["Organization: Example"]},
        "packages": [
            {"SPDXID": f"SPDXRef-{number}", "name": name, "downloadLocation": "NOASSERTION"}
            for number, name in enumerate(packages)
        ],
    }
    kind = "application/spdx+json"
    about = {"mediaType": subject.media_type, "digest": subject.digest, "size": len(subject.content)}
    members: dict[str, Any] = {"artifactType": kind, "subject": about}
    listed = manifest([_EMPTY, Blob(kind, to_json(document))], members=members, extra={"artifactType": kind})
    return index([listed])


def chart(name: str, version: str, files: Layer) -> Manifest:
    """Return a Helm chart as registries hold it (helm, "Use OCI-based registries")."""
    config = Blob(
        "application/vnd.cncf.helm.config.v1+json", to_json({"name": name, "version": version, "apiVersion": "v2"})
    )
    return manifest([config, Blob("application/vnd.cncf.helm.chart.content.v1.tar+gzip", files.content)])


def _nameless_config(layer: Blob, platform: str) -> Blob:
    """Return the config of something that looks like an image and is none."""
    rootfs = {"type": "layers", "diff_ids": [layer.digest]}
    return Blob(OCI.config, to_json({"architecture": platform, "os": platform, "config": {}, "rootfs": rootfs}))
