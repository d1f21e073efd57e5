"""Images of the registries: `GET /v5/{project_id}/image/registries/images`."""

from typing import Any

import msgspec
from litestar import MediaType, Request, Response, get

from imagewarden.api.authentication import caller_of
from imagewarden.api.operation import operation
from imagewarden.api.parameters import parse_query
from imagewarden.api.services import Services
from imagewarden.api.v5.image_filters import IMAGE_LIST_PARAMETERS, image_list_request
from imagewarden.api.v5.image_rows import ListRegistryImagesResponse, image_list
from imagewarden.identity.roles import Role
from imagewarden.inventory.query import list_images

__all__ = ["list_registry_images"]

_ENCODER = msgspec.json.Encoder()


@get(
    "/v5/{project_id:str}/image/registries/images",
    name="ListRegistryImages",
    opt=operation(
        tag="images", role=Role.VIEWER, parameters=IMAGE_LIST_PARAMETERS, response=ListRegistryImagesResponse
    ),
)
async def list_registry_images(request: Request[Any, Any, Any]) -> Response[bytes]:
    """List the images of a project's registries: any mix of filters, the exact total, any page."""
    services: Services = request.app.state.services
    project_id: str = request.path_params["project_id"]
    values = parse_query(request.scope["query_string"], IMAGE_LIST_PARAMETERS)
    granted = caller_of(request.scope).enterprise_projects(project_id)
    asked, order, offset, limit = image_list_request(values, granted)
    async with services.reader.connect() as connection:
        page = await list_images(connection, project_id, asked, order, offset=offset, limit=limit)
    return Response(_ENCODER.encode(image_list(page)), media_type=MediaType.JSON)
