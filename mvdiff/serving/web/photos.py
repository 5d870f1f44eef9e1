"""Routes of photos and their mattes."""

import asyncio

from fastapi import APIRouter, Request, UploadFile
from fastapi.responses import FileResponse

from mvdiff.serving.engine import Engine
from mvdiff.serving.photos import PhotoFolder
from mvdiff.serving.web.models import PhotoRecord

router = APIRouter(prefix="/api/photos", tags=["photos"])
#: Photos that are decoded at a time; each may take some hundred megabytes meanwhile.
_AT_A_TIME = asyncio.Semaphore(2)


@router.post("", status_code=201)
async def add_photo(request: Request, photo: UploadFile) -> PhotoRecord:
    """Upload a photo; its object is found at once."""
    return _record(await decode(engine_of(request), await photo.read(), photo.filename))


@router.get("/{photo_id}")
def get_photo(request: Request, photo_id: str) -> PhotoRecord:
    """Facts about a photo."""
    return _record(PhotoFolder.find(engine_of(request).state_dir, photo_id))


@router.get("/{photo_id}/picture", response_class=FileResponse)
def get_picture(request: Request, photo_id: str) -> FileResponse:
    """The photo, upright, as PNG."""
    return FileResponse(PhotoFolder.find(engine_of(request).state_dir, photo_id).picture, media_type="image/png")


@router.get("/{photo_id}/matte", response_class=FileResponse)
def get_matte(request: Request, photo_id: str) -> FileResponse:
    """The object's alpha as a gray PNG of the photo's size."""
    return FileResponse(PhotoFolder.find(engine_of(request).state_dir, photo_id).matte, media_type="image/png")


_PNG_BODY = {"requestBody": {"required": True, "content": {"image/png": {"schema": {"type": "string"}}}}}


@router.put("/{photo_id}/matte", openapi_extra=_PNG_BODY)
async def put_matte(request: Request, photo_id: str) -> PhotoRecord:
    """Replace the matte by a gray PNG of the photo's size: white is object, black background."""
    engine = engine_of(request)
    folder = PhotoFolder.find(engine.state_dir, photo_id)
    body = await request.body()
    async with _AT_A_TIME:
        await asyncio.to_thread(folder.correct, body, engine.config.limits.max_pixels)
    return _record(folder)


def engine_of(request: Request) -> Engine:
    """The engine behind the app."""
    return request.app.state.engine


async def decode(engine: Engine, upload: bytes, name: str | None) -> PhotoFolder:
    """Keep an upload beside the event loop. Raises :class:`~recon.core.errors.InputError` for what is no photo."""
    async with _AT_A_TIME:
        return await asyncio.to_thread(PhotoFolder.add, engine.state_dir, upload, name, engine.config.limits.max_pixels)


def _record(folder: PhotoFolder) -> PhotoRecord:
    return PhotoRecord(id=folder.id, **folder.record)
