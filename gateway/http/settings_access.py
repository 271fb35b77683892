"""What a gateway can be told of those who call: tokens, TLS, proxies, rates, webhooks."""

from pathlib import Path
from typing import Final, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings

from gateway.http.rate_limiter import LimitedResource, Subject
from gateway.http.rates import PATTERN, read_rate

SPELLED: Final = "as COUNT/SECONDSs or COUNT/SECONDSs+BURST; empty for no limit"


class AccessSettings(BaseSettings):
    """Who may call, and how often."""

    token_key: SecretStr | None = Field(
        None, description="Secret that signs tokens (HS256), at least 32 bytes of text."
    )
    token_key_file: Path | None = Field(
        None,
        description="File with that secret; unset takes `token.key` in the data folder, unless "
        "public keys are given.",
    )
    token_public_keys_file: Path | None = Field(
        None,
        description="File with public keys that check tokens (RS256, ES256, EdDSA), as a JWKS or "
        "PEM text; read again when it changes.",
    )
    token_jwks_url: str | None = Field(
        None,
        pattern=r"^(https://|http://(127\.0\.0\.1|localhost|\[::1\])[:/])",
        description="Address of a JWKS with public keys that check tokens; HTTPS, or this machine.",
    )
    token_issuer: str = Field(
        "mainstem",
        min_length=1,
        description="Who issues the tokens that public keys check (`iss`).",
    )
    token_audience: str = Field(
        "mainstem-gateway", min_length=1, description="For whom tokens have to be (`aud`)."
    )
    token_tenant_claim: str = Field(
        "tenant", min_length=1, description="The claim of a token that names its tenant."
    )
    token_keys_max: int = Field(
        50, ge=1, le=1_000, description="Public keys taken from a file or a JWKS."
    )
    token_keys_bytes_max: int = Field(
        262_144, ge=1_024, description="Bytes of a JWKS, or of a file with keys."
    )
    token_keys_seconds: float = Field(
        300, gt=0, description="Seconds between two looks at public keys."
    )
    token_keys_cooldown_seconds: float = Field(
        10, gt=0, description="Least seconds between two fetches, whoever names unknown keys."
    )
    token_keys_age_seconds_max: float = Field(
        86_400, gt=0, description="Seconds after which fetched keys are dropped if none come."
    )
    token_keys_timeout_seconds: float = Field(
        5, gt=0, description="Seconds one fetch of public keys may take."
    )
    tokens_cached_max: int = Field(
        10_000, ge=1, description="Verified tokens remembered until they expire."
    )
    revoked_file: Path | None = Field(
        None, description="JSON list of tokens taken back; read again when it changes."
    )
    revoked_seconds: float = Field(
        5, gt=0, description="Seconds between two looks at the list of tokens taken back."
    )
    revoked_max: int = Field(100_000, ge=1, description="Entries of that list.")
    origins: tuple[str, ...] = Field(
        (),
        description="Browser origins that may call, as JSON list; requests without one always may.",
    )

    tls_certificate_file: Path | None = Field(
        None, description="Certificate chain to serve TLS with, as PEM; unset serves plain."
    )
    tls_key_file: Path | None = Field(None, description="Private key of the certificate, as PEM.")
    tls_key_password: SecretStr | None = Field(None, description="Password of the private key.")
    tls_client_ca_file: Path | None = Field(
        None, description="Authorities whose certificates clients have to show, as PEM."
    )

    proxies: tuple[str, ...] = Field(
        (),
        description="Networks of proxies whose X-Forwarded-For is believed, as JSON list.",
    )
    proxy_hops_max: int = Field(
        1, ge=1, le=16, description="Proxies in a row that are believed, from the right."
    )

    rate_keys_max: int = Field(
        50_000, ge=1, description="Busy senders remembered for each rate limit."
    )
    rate_strikes_max: int = Field(
        100, ge=0, description="Refusals beyond what passed before a socket is closed with 3013."
    )
    rate_connections_by_address: str = Field(
        "1000/1s+20000", pattern=PATTERN, description=f"Sockets opened from an address, {SPELLED}."
    )
    rate_connections_by_token: str = Field(
        "", pattern=PATTERN, description=f"Sockets opened with a token, {SPELLED}."
    )
    rate_connections_by_tenant: str = Field(
        "", pattern=PATTERN, description=f"Sockets opened by a tenant, {SPELLED}."
    )
    rate_frames_by_address: str = Field(
        "", pattern=PATTERN, description=f"Frames from an address, {SPELLED}."
    )
    rate_frames_by_token: str = Field(
        "", pattern=PATTERN, description=f"Frames with a token, {SPELLED}."
    )
    rate_frames_by_tenant: str = Field(
        "", pattern=PATTERN, description=f"Frames of a tenant, {SPELLED}."
    )
    rate_bytes_by_address: str = Field(
        "", pattern=PATTERN, description=f"Bytes of frames and bodies from an address, {SPELLED}."
    )
    rate_bytes_by_token: str = Field(
        "", pattern=PATTERN, description=f"Bytes of frames and bodies with a token, {SPELLED}."
    )
    rate_bytes_by_tenant: str = Field(
        "", pattern=PATTERN, description=f"Bytes of frames and bodies of a tenant, {SPELLED}."
    )
    rate_commands_by_address: str = Field(
        "", pattern=PATTERN, description=f"Commands and requests from an address, {SPELLED}."
    )
    rate_commands_by_token: str = Field(
        "50000/1s+100000",
        pattern=PATTERN,
        description=f"Commands and requests with a token, {SPELLED}.",
    )
    rate_commands_by_tenant: str = Field(
        "", pattern=PATTERN, description=f"Commands and requests of a tenant, {SPELLED}."
    )

    rate_events_by_tenant: str = Field(
        "10000/1s+1000",
        pattern=PATTERN,
        description=f"Events of a tenant, by every path, {SPELLED}. What comes faster waits, "
        "so that one tenant's flood is not in front of the others' events.",
    )
    worker_group: str = Field(
        "mainstem-worker",
        min_length=1,
        max_length=200,
        description="Consumer group of the workers: how far it is says how much of that rate may "
        "be used, from a twentieth to all of it.",
    )
    events_wait_ms_max: int = Field(
        5_000,
        ge=0,
        le=60_000,
        description="How long events beyond that rate wait before they are refused, to be sent "
        "again after Retry-After.",
    )

    rate_inflated_by_tenant: str = Field(
        "33554432/1s+134217728",
        pattern=PATTERN,
        description=f"Bytes that a tenant's packed bodies come to once inflated, {SPELLED}.",
    )

    github_secrets: tuple[SecretStr, ...] = Field(
        (),
        description="Secrets that GitHub signs its webhooks with, as JSON list, the old beside "
        "the new one while they change; none refuses webhooks.",
    )
    github_tenant: str = Field(
        "local", min_length=1, max_length=200, description="Tenant of what GitHub tells."
    )
    github_deliveries_max: int = Field(
        10_000, ge=1, description="Deliveries of GitHub remembered to answer repeats."
    )
    webhook_bytes_max: int = Field(
        26_214_400, ge=1_024, description="Bytes of a webhook's body; GitHub sends up to 25 MiB."
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.tls_certificate_file is None) != (self.tls_key_file is None):
            raise ValueError("a TLS certificate and its key have to be given together")
        return self

    def rate(self, subject: Subject, resource: LimitedResource) -> str:
        """Return the rate of a resource by a subject, as it is spelled."""
        spelled: str = getattr(self, f"rate_{resource}_by_{subject}")
        return spelled


def check_bursts(settings: AccessSettings, *, frame_bytes_max: int, body_bytes_max: int) -> None:
    """Raise `ValueError` if a burst of bytes is less than what may come in one piece."""
    piece = max(frame_bytes_max, body_bytes_max, settings.webhook_bytes_max)
    for subject in Subject:
        rate = read_rate(settings.rate(subject, LimitedResource.BYTES))
        if rate is not None and rate.burst < piece:
            raise ValueError(
                f"the burst of rate_bytes_by_{subject} is less than the {piece} bytes that a "
                "body may have; give more after the +"
            )
