"""`/v1/alerts/files`, `/receivers` and `/notices`: files kept, receivers tried, who was told.

Reading needs the scope `subscribe`, changing and testing `admin`. A file is YAML as it was written,
with `<secret>` for secrets, and has a strong ETag of its whole content: `If-Match` and
`If-None-Match: *` make a change depend on it (RFC 9110, 13.1). What is refused is problem+json,
with the line of what is wrong.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Final

import msgspec
from fastapi import APIRouter, Request
from msgspec import structs
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from analytics.contracts.errors import BadBody, Refused, Unavailable
from apps.api import answers, questions
from apps.api.answers import Format, Table
from apps.api.parts import LIMIT, RANGE, Asking, described
from gateway.http import problem
from gateway.http.auth import Grant, TokenScope
from gateway.http.guard import grant_of
from gateway.http.limits import BodyBounds, read_body
from gateway.http.openapi import responses
from streams.queries import notices as told
from streams.queries import receivers
from streams.queries.grouped import BadQuestion
from streams.queries.notices import NoticeFilter
from streams.store import alert_files, controls
from streams.store.alert_files import Condition, Db, FilesChange, Planned, UploadedFile

FILES: Final = "/v1/alerts/files"
RECEIVERS: Final = "/v1/alerts/receivers"
NOTICES: Final = "/v1/alerts/notices"
JSON: Final = "application/json"
YAML: Final = "application/yaml"
BODY: Final = BodyBounds(bytes_max=4_000_000, seconds_max=30.0)
_DIGITS_MAX: Final = 15
_NOTICES: Final = {
    **RANGE,
    "receiver": "Only of this receiver.",
    "state": f"Only what is {', '.join(told.STATES)}.",
    "after": "The `next` of the page before.",
    **LIMIT,
}
_FILE: Final = "The file's name."
_DRY: Final = {"dry_run": "true says what would become of it, and keeps nothing."}
_CONDITIONS: Final = [
    {"name": name, "in": "header", "required": False, "schema": {"type": "string"}}
    for name in ("If-Match", "If-None-Match")
]


def router(asking: Asking) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["alerts"])
    _add_files(routes, asking)
    _add_changes(routes, asking)
    _add_receivers(routes, asking)

    @routes.get(NOTICES, summary="Who was told of what, and how it went", **_about(_NOTICES))
    def notices(request: Request) -> Response:
        grant, asked = _asked(request, _NOTICES)
        limit = questions.number(asked, "limit", 100, least=1, most=told.PAGE_MAX)
        from_ms, until_ms = questions.range_of(asked, now_ms=asking.wall_ms())
        which = NoticeFilter(
            from_ms=from_ms,
            until_ms=until_ms,
            receiver=questions.one(asked, "receiver", ""),
            state=_state(questions.one(asked, "state", "")),
        )
        with asking.reader.connection() as db:
            found = told.notices(db, grant.tenant, which, limit=limit, after=_after(asked))
        last = found[-1] if len(found) == limit else None
        body = {
            "notices": [structs.asdict(one) for one in found],
            "next": None if last is None else f"{last.at_ms}.{last.key}",
        }
        return _json(body, request)

    return routes


def _add_files(routes: APIRouter, asking: Asking) -> None:
    @routes.get(FILES, summary="Which files of alerts are kept", **_about({}))
    def listed(request: Request) -> Response:
        grant, _ = _asked(request, {})
        with asking.reader.connection() as db:
            kept = alert_files.kept(db, grant.tenant)
            refused = alert_files.refusals(db, grant.tenant)
        body = {
            "files": [
                {
                    "name": one.name,
                    "kind": one.kind,
                    "origin": one.origin,
                    "etag": one.etag,
                    "changed_by": one.changed_by,
                    "changed_at": one.changed_at.isoformat(),
                }
                for one in kept
            ],
            "refused": [
                {"name": one.name, "reason": one.reason, "at": one.at.isoformat()}
                for one in refused
            ],
        }
        return _json(body, request)

    @routes.get(
        f"{FILES}/{{name:path}}",
        summary="A file, without its secrets",
        **_about({}, YAML, path=_FILE),
    )
    def shown(request: Request) -> Response:
        grant, _ = _asked(request, {})
        with asking.reader.connection() as db:
            one = alert_files.one(db, grant.tenant, _name(request))
        headers = {"ETag": f'"{one.etag}"', "Cache-Control": "private, no-cache"}
        if one.etag in _tags(request, "if-none-match"):
            return Response(status_code=304, headers=headers)
        return Response(one.shown, media_type=YAML, headers=headers)


def _add_changes(routes: APIRouter, asking: Asking) -> None:
    path = f"{FILES}/{{name:path}}"
    about = _about(_DRY, path=_FILE)
    about["responses"][201] = {"description": "The file is new.", "content": {JSON: {}}}
    about["openapi_extra"]["parameters"] += _CONDITIONS
    about["openapi_extra"]["requestBody"] = {"required": True, "content": {YAML: {}}}

    @routes.put(path, summary="Keep a file, checked before", **about)
    async def put(request: Request) -> Response:
        grant, asked = _asked(request, _DRY, scope=TokenScope.ADMIN)
        body = await read_body(request, BODY)
        file = UploadedFile(name=_name(request), body=_decoded(body))
        only, is_dry = _condition(request), _flag(asked, "dry_run")

        def work(db: Db) -> Planned:
            if not is_dry:
                return alert_files.put(db, grant.tenant, file, by=grant.user, only=only)
            [change] = alert_files.plan(db, grant.tenant, FilesChange(files=(file,))).changes
            if change.error is not None:
                raise change.error
            return change

        return await run_in_threadpool(_changed, asking, work, is_dry=is_dry)

    @routes.delete(path, summary="Remove a file", **_about({}, path=_FILE, status=204))
    def delete(request: Request) -> Response:
        grant, _ = _asked(request, {}, scope=TokenScope.ADMIN)
        only = _condition(request)
        with _writing(asking) as db:
            alert_files.remove(db, grant.tenant, _name(request), by=grant.user, only=only)
        return Response(status_code=204)


def _add_receivers(routes: APIRouter, asking: Asking) -> None:
    @routes.get(RECEIVERS, summary="Whom the routing in force tells", **_about({}))
    def listed(request: Request) -> Response:
        grant, _ = _asked(request, {})
        with asking.reader.connection() as db:
            found = receivers.listed(db, grant.tenant)
        return _json({"receivers": msgspec.to_builtins(found)}, request)

    @routes.post(
        f"{RECEIVERS}/{{name:path}}/test",
        summary="Have a receiver told of a test; its notices say what came of it",
        **_about({}, path="The receiver.", status=202),
    )
    def test(request: Request) -> Response:
        grant, _ = _asked(request, {}, scope=TokenScope.ADMIN)
        with _writing(asking) as db:
            keys = receivers.send_test(
                db, grant.tenant, _name(request), by=grant.user, now_ms=asking.wall_ms()
            )
        return Response(msgspec.json.encode({"notices": keys}), status_code=202, media_type=JSON)


def _changed(asking: Asking, work: Callable[[Db], Planned], *, is_dry: bool) -> Response:
    try:
        with _writing(asking) as db:
            change = work(db)
    except Refused as error:
        place = getattr(error, "place", None)
        more = {} if place is None else {"line": place.line, "column": place.column}
        return problem.answer(error, more=more)
    tag = alert_files.etag(change.body)
    body = {
        "name": change.name,
        "kind": change.kind,
        "change": change.change,
        "etag": tag,
        "cautions": change.warnings.cautions,
        "beyond": change.warnings.beyond,
        "replaces": change.replaces,
    }
    is_new = change.change == alert_files.ADDED and not is_dry
    return Response(
        msgspec.json.encode(body),
        status_code=201 if is_new else 200,
        media_type=JSON,
        headers={"ETag": f'"{tag}"'},
    )


def _writing(asking: Asking) -> AbstractContextManager[Db]:
    if not asking.store_url:
        raise Unavailable("this API only reads: give it a store that it may write")
    return controls.opened(asking.store_url)


def _asked(
    request: Request, known: dict[str, str], *, scope: TokenScope = TokenScope.SUBSCRIBE
) -> tuple[Grant, questions.Parameters]:
    grant = grant_of(request)
    grant.require(scope)
    parameters = request.query_params
    for name in parameters:
        if name not in known:
            there = ", ".join(sorted(known)) or "none"
            raise BadQuestion(f"no parameter {name[:40]!r}; there are {there}")
    return grant, {name: parameters.getlist(name) for name in parameters}


def _name(request: Request) -> str:
    return str(request.path_params["name"])


def _decoded(body: bytes) -> str:
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadBody("the file is no text in UTF-8") from None


def _flag(asked: questions.Parameters, name: str) -> bool:
    text = questions.one(asked, name, "false")
    if text not in {"true", "false"}:
        raise BadQuestion(f"{name!r} is true or false, not {text[:40]!r}")
    return text == "true"


def _tags(request: Request, header: str) -> tuple[str, ...]:
    """Return the tags of a header; a weak one never matches a change, so it stays as it is."""
    found = (one.strip() for one in request.headers.get(header, "").split(","))
    return tuple(one.strip('"') if not one.startswith("W/") else one for one in found if one)


def _condition(request: Request) -> Condition:
    matches, none = _tags(request, "if-match"), _tags(request, "if-none-match")
    if not (matches or none):
        return alert_files.ALWAYS
    return Condition(matches=matches, none_matches=none)


def _state(text: str) -> str:
    if text and text not in told.STATES:
        raise BadQuestion(f"no state {text[:40]!r}; there are {', '.join(told.STATES)}")
    return text


def _after(asked: questions.Parameters) -> told.After:
    text = questions.one(asked, "after", "")
    if not text:
        return told.FIRST
    digits, dot, key = text.partition(".")
    if not (dot and digits.isdecimal() and len(digits) <= _DIGITS_MAX):
        raise BadQuestion(f"'after' is the `next` of the page before, not {text[:40]!r}")
    return int(digits), key


def _json(body: object, request: Request) -> Response:
    known = request.headers.get("if-none-match", "")
    return answers.respond(body, Table({}), Format.JSON, name="alerts", known=known)


def _about(
    parameters: dict[str, str], kind: str = JSON, *, path: str = "", status: int = 200
) -> dict[str, Any]:
    """Return what OpenAPI says of a route; `path` is what the name in its path is of."""
    about = described(parameters)
    if path:
        about["openapi_extra"]["parameters"].append(
            {
                "name": "name",
                "in": "path",
                "required": True,
                "description": path,
                "schema": {"type": "string", "minLength": 1},
            }
        )
    content: dict[str, Any] = {"content": {kind: {}}} if status != 204 else {}
    about["responses"] = {
        status: {"description": "The answer.", **content},
        304: {"description": "The caller has it: If-None-Match names its ETag."},
        **responses(400, 401, 403, 404, 408, 409, 412, 413, 415, 429, 503),
    }
    return {**about, "status_code": status}
