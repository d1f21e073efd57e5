"""Images of the registries: `GET /v5/{project_id}/image/registries/images`, and all of them as a stream."""

from typing import Any

from litestar import Request, get

from imagewarden.api.authentication import caller_of, was_checked
from imagewarden.api.errors import Unavailable
from imagewarden.api.operation import operation
from imagewarden.api.parameters import parse_query
from imagewarden.api.prepared import PreparedJson
from imagewarden.api.services import Services
from imagewarden.api.v5.image_filters import IMAGE_LIST_PARAMETERS, image_list_request
from imagewarden.api.v5.image_rows import ListRegistryImagesResponse, list_body
from imagewarden.identity.roles import Role
from imagewarden.inventory.errors import ModelUnavailable

__all__ = ["age_header", "list_registry_images", "unavailable"]


def age_header(age: float | None) -> dict[str, str]:
    """Return the header that tells how old an answer is (RFC 9111, 5.1), none where it shows all that there is."""
    return {} if age is None else {"age": f"{age:.0f}"}


def unavailable(error: ModelUnavailable) -> Unavailable:
    """Return the answer of a service that has no read model to answer from."""
    return Unavailable(f"the image list cannot be answered now: {error}", headers={"retry-after": "2"})


@get(
    "/v5/{project_id:str}/image/registries/images",
    name="ListRegistryImages",
    opt=operation(
        tag="images", role=Role.VIEWER, parameters=IMAGE_LIST_PARAMETERS, response=ListRegistryImagesResponse
    ),
)
async def list_registry_images(request: Request[Any, Any, Any]) -> PreparedJson:
    """List the images of a project's registries: any mix of filters, the exact total, any page."""
    services: Services = request.app.state.services
    project_id: str = request.path_params["project_id"]
    values = parse_query(request.scope["query_string"], IMAGE_LIST_PARAMETERS)
    granted = caller_of(request.scope).enterprise_projects(project_id)
    asked, order, offset, limit = image_list_request(values, granted)
    try:
        page, age = await services.images.page(
            project_id, asked, order, offset, limit, checked=was_checked(request.scope)
        )
    except ModelUnavailable as error:
        raise unavailable(error) from None
    headers = [(name.encode(), value.encode()) for name, value in age_header(age).items()]
    return PreparedJson(list_body(page.total, page.rows), headers)
