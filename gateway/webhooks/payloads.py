"""The parts of GitHub's webhooks that reviews are told from; all else in them is passed over.

Every part may be missing or null: a payload says less, and is never refused for it.
"""

from msgspec import Struct


class User(Struct, frozen=True):
    """Somebody on GitHub."""

    login: str | None = None


class BranchHead(Struct, frozen=True):
    """One end of a pull request."""

    sha: str | None = None


class PullRequest(Struct, frozen=True):
    """A pull request, or as much as an event tells of it."""

    number: int | None = None
    head: BranchHead | None = None
    merged: bool | None = None
    updated_at: str | None = None
    draft: bool | None = None


class Comment(Struct, frozen=True):
    """What somebody wrote, at lines or not."""

    id: int | None = None
    in_reply_to_id: int | None = None
    body: str | None = None
    path: str | None = None
    line: int | None = None
    original_line: int | None = None
    updated_at: str | None = None
    user: User | None = None


class ReviewThread(Struct, frozen=True):
    """Comments at the same lines."""

    comments: list[Comment] | None = None


class Review(Struct, frozen=True):
    """What a reviewer made of a pull request."""

    id: int | None = None
    state: str | None = None
    submitted_at: str | None = None
    user: User | None = None


class Issue(Struct, frozen=True):
    """An issue; a pull request is one as well."""

    number: int | None = None
    pull_request: object | None = None


class Suite(Struct, frozen=True):
    """A set of checks."""

    head_branch: str | None = None


class CheckRun(Struct, frozen=True):
    """A check, a suite of them, or a workflow's run."""

    id: int | None = None
    conclusion: str | None = None
    head_branch: str | None = None
    check_suite: Suite | None = None
    pull_requests: list[PullRequest] | None = None
    completed_at: str | None = None
    updated_at: str | None = None


class Commit(Struct, frozen=True):
    """A commit of a push."""

    message: str | None = None
    timestamp: str | None = None


class Repository(Struct, frozen=True):
    """Where it happened."""

    full_name: str | None = None


class Payload(Struct, frozen=True):
    """A webhook's body."""

    action: str | None = None
    repository: Repository | None = None
    sender: User | None = None
    pull_request: PullRequest | None = None
    review: Review | None = None
    comment: Comment | None = None
    thread: ReviewThread | None = None
    issue: Issue | None = None
    check_run: CheckRun | None = None
    check_suite: CheckRun | None = None
    workflow_run: CheckRun | None = None
    ref: str | None = None
    before: str | None = None
    after: str | None = None
    commits: list[Commit] | None = None
    head_commit: Commit | None = None
