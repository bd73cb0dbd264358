"""Types of the JSON documents, one for each schema. Generated: python -m tests.document_types."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict


class AccountAccount(TypedDict):
    base_url: str
    key_tag: str
    plan: Literal["free", "light", "standard", "premium"]
    found_at: str


class AccountDocument(TypedDict):
    salt: str
    accounts: list[AccountAccount]


class AlertsAlert(TypedDict):
    scope: str
    key: str
    text: str
    since: str
    told_on: str
    state: Literal["open", "silent", "over"]


class AlertsDocument(TypedDict):
    alerts: list[AlertsAlert]


class AnnouncementDocument(TypedDict):
    format: int
    run_id: str
    began_at: str
    host: str
    code_version: str
    schema_hash: str
    schema_version: str
    now: str
    server: Literal["api", "simulator"]
    settings: dict[str, str]
    earlier: list[str]


class DatasetMetadataSource(TypedDict):
    key: str
    sha256: str


class DatasetMetadataChunk(TypedDict):
    chunk_id: str
    build_id: str
    rows: int
    output_start: str | None
    output_end: str | None
    parquet_sha256: str


class DatasetMetadataDocument(TypedDict):
    dataset: str
    origin: Literal["api", "files", "simulator"]
    input_start: str
    input_end: str
    output_start: str | None
    output_end: str | None
    rows: int
    columns: list[str]
    dtypes: dict[str, str]
    feature_schema_hash: str
    feature_schema_version: str
    dataset_hash: str
    generated_at: str
    null_rates: dict[str, float]
    sources: dict[str, list[DatasetMetadataSource]]
    unavailable: list[str]
    chunks: list[DatasetMetadataChunk]


class DatasetQualityFinding(TypedDict):
    check: str
    subject: str
    text: str


class DatasetQualityThresholds(TypedDict):
    null_rate: float
    stability: float


class DatasetQualityChunk(TypedDict):
    chunk_id: str
    rows: int
    sessions: int
    output_start: str | None
    output_end: str | None


class DatasetQualityDocument(TypedDict):
    generated_at: str
    dataset: str
    dataset_hash: str | None
    rows: int
    columns: int
    columns_compared: int
    output_start: str | None
    output_end: str | None
    passed: bool
    findings: list[DatasetQualityFinding]
    warnings: list[DatasetQualityFinding]
    unchecked: dict[str, str]
    thresholds: DatasetQualityThresholds
    chunks: list[DatasetQualityChunk]


class DoctorCheck(TypedDict):
    level: Literal["ok", "warning", "problem"]
    about: str
    kind: str
    facts: dict[str, Any]
    text: NotRequired[str]
    next: NotRequired[str]


class DoctorAnswerFinding(TypedDict):
    field: str
    difference: Literal["missing", "new", "type", "spelling", "padding", "member"]
    seen: str
    rows: int
    value: NotRequired[str]


class DoctorAnswerFiles(TypedDict):
    entries: int
    keys: dict[str, int]
    folders: int
    sizes: dict[str, int]
    modified: dict[str, int]
    others: dict[str, int]
    pages: bool


class DoctorAnswer(TypedDict):
    source: str
    part: Literal["recent", "old", "plan", "calendar", "files"]
    days_ago: int | None
    status: int | None
    seconds: float
    bytes: int | None
    pages: bool
    reads: bool | None
    rows: int | None
    query: NotRequired[dict[str, str]]
    repeated: NotRequired[int]
    conflicting: NotRequired[int]
    elsewhere: NotRequired[int]
    fields: NotRequired[dict[str, dict[str, int]]]
    findings: NotRequired[list[DoctorAnswerFinding]]
    files: NotRequired[DoctorAnswerFiles]


class DoctorNotAsked(TypedDict):
    source: str
    part: str
    why: str


class DoctorDocument(TypedDict):
    document: Literal["g5 doctor"]
    redacted: bool
    checked_at: NotRequired[str]
    checked_month: NotRequired[int]
    version: str
    origin: Literal["api", "simulator"]
    host: Literal["official", "loopback", "other"]
    plan: Literal["free", "light", "standard", "premium"] | None
    requests: int
    seconds: float
    exit_code: Literal[0, 1, 2]
    checks: list[DoctorCheck]
    answers: list[DoctorAnswer]
    not_asked: list[DoctorNotAsked]


class LabelsPart(TypedDict):
    chunk_id: str
    build_id: str
    rebuild: str | None
    rows: int
    output_start: str | None
    output_end: str | None
    known_to: str
    last_bar: str | None
    settled: bool
    parquet_bytes: int
    parquet_sha256: str
    null_rates: dict[str, float]


class LabelsDocument(TypedDict):
    run_id: str
    generated_at: str
    origin: Literal["api", "files", "simulator"]
    definition_hash: str
    columns: list[str]
    dtypes: dict[str, str]
    rows: int
    output_start: str | None
    output_end: str | None
    parts: list[LabelsPart]
    others: list[LabelsPart]


class ManifestColumn(TypedDict):
    name: str
    dtype: str
    nullable: bool
    role: NotRequired[Literal["key", "feature", "label"]]


class ManifestDocument(TypedDict):
    version: str
    generated_at: str
    reference_file: str
    hash_strategy: Literal["sha256_ordered_v1"]
    schema_hash: str
    column_order_enforced: Literal[True]
    total_columns: int
    columns: list[ManifestColumn]


class MetadataSource(TypedDict):
    key: str
    sha256: str


class MetadataCorrection(TypedDict):
    source: str
    date: str
    arrived: str


class MetadataQuarantineEntry(TypedDict):
    source: str
    kind: Literal["value", "repeated row"]
    field: str
    spelling: str
    count: int
    first: str
    last: str
    record: str


class MetadataFinding(TypedDict):
    month: str
    not_finite: list[str]
    outside: list[str]


class MetadataLastGood(TypedDict):
    build_id: str
    rows: int
    null_rates: dict[str, float]


class MetadataDocument(TypedDict):
    chunk_id: str
    build_id: str
    origin: Literal["api", "files", "simulator"]
    input_start: str
    input_end: str
    output_start: str | None
    output_end: str | None
    rows: int
    columns: list[str]
    dtypes: dict[str, str]
    feature_schema_hash: str
    feature_schema_version: str
    dataset_hash: str
    generated_at: str
    null_rates: dict[str, float]
    sources: dict[str, list[MetadataSource]]
    unavailable: list[str]
    checked: dict[str, str]
    corrections: list[MetadataCorrection]
    quarantine: NotRequired[list[MetadataQuarantineEntry]]
    encoding: str
    findings: list[MetadataFinding]
    warnings: list[str]
    last_good: MetadataLastGood | None


class ProgressDocument(TypedDict):
    run_id: str
    task: str
    what: str
    unit: str
    done: int
    total: int
    began: float
    told: float


class RebuildDocument(TypedDict):
    id: str
    reason: str
    requested_at: str


class RechecksSourcesFiles(TypedDict):
    size: int
    modified: str | None


class RechecksSources(TypedDict):
    listed_at: str | None
    refused_at: str | None
    files: dict[str, RechecksSourcesFiles]
    failed: dict[str, str]


class RechecksFound(TypedDict):
    source: str
    date: str
    replaced: str
    arrived: str
    rows_before: int
    rows: int
    added: int
    removed: int
    changed: int
    fields: dict[str, int]
    example: str
    accepted: bool


class RechecksDocument(TypedDict):
    origin: Literal["api", "files", "simulator"]
    day: str | None
    spent: int
    done: bool
    questions: int
    requests: int
    sources: dict[str, RechecksSources]
    found: list[RechecksFound]


class ReportDocument(TypedDict):
    report: str
    bytes: int
    generated_at: str
    run_id: str
    origin: Literal["api", "files", "simulator"]
    inputs: dict[str, str | None]


class ReportFactsProfileMonths(TypedDict):
    rows: int
    nulls: dict[str, float]
    spread: dict[str, list[float]]


class ReportFactsProfile(TypedDict):
    sessions: dict[str, list[list[int]]]
    months: dict[str, ReportFactsProfileMonths]


class ReportFactsChunks(TypedDict):
    build_id: str
    warnings: list[str]
    unavailable: list[str]
    profile: ReportFactsProfile


class ReportFactsDocument(TypedDict):
    generated_at: str
    run_id: str
    origin: Literal["api", "files", "simulator"]
    dataset: str
    rows: int
    schema_hash: str
    profile_version: int
    corrections: int
    inputs: dict[str, str | None]
    chunks: dict[str, ReportFactsChunks]


class RunChunk(TypedDict):
    chunk_id: str
    state: Literal["building", "completed", "failed", "failed_schema_mismatch"]
    rows: int | None
    seconds: float | None
    bytes: int | None


class RunStep(TypedDict):
    name: str
    started_at: str
    seconds: float
    error: str | None


class RunOutputs(TypedDict):
    dataset: str | None
    dataset_hash: str | None
    labels: str | None


class RunDocument(TypedDict):
    run_id: str
    task: str
    parameters: dict[str, str]
    settings: dict[str, str]
    profile: str | None
    code_version: str
    origin: Literal["api", "files", "simulator"]
    host: str
    pid: int
    started_at: str
    finished_at: str | None
    outcome: Literal["running", "done", "nothing", "failed", "stopped", "killed"]
    exit_code: int | None
    error: str | None
    chunks: list[RunChunk]
    steps: list[RunStep]
    inputs: list[str]
    outputs: RunOutputs
    peak_rss_bytes: int | None
    requests: dict[str, int]


class SnapshotQuarantineEntry(TypedDict):
    kind: Literal["value", "repeated row"]
    field: str
    spelling: str
    count: int
    first: str
    last: str
    record: str


class SnapshotPart(TypedDict):
    period: str
    file: str
    sha256: str
    rows: int
    bytes: int
    dates: list[str]
    whole: bool
    route: str
    fetched_at: str
    quarantine: NotRequired[list[SnapshotQuarantineEntry]]


class SnapshotDocument(TypedDict):
    source: str
    key: str
    origin: Literal["api", "files", "simulator"]
    start: str
    end: str
    asof: str | None
    tag: str | None
    route: str
    client_version: str
    checked_at: str
    fetched_at: str
    date_field: str
    rows: int
    sha256: str
    parts: list[SnapshotPart]


class StatusError(TypedDict):
    type: str
    message: str
    hint: str


class StatusDocument(TypedDict):
    chunk_id: str
    state: Literal["building", "completed", "failed", "failed_schema_mismatch"]
    origin: Literal["api", "files", "simulator"]
    build_id: str
    rebuild: str | None
    run_id: str
    started_at: str
    finished_at: str | None
    covered_from: str
    covered_to: str
    output_start: str | None
    output_end: str | None
    rows: int | None
    schema_hash: str
    schema_version: str
    parquet_bytes: int | None
    parquet_sha256: str | None
    inputs: dict[str, str]
    code_version: str
    error: StatusError | None
    previous: NotRequired[StatusDocument]
    host: str
    pid: int


class TrainingDocument(TypedDict):
    dataset: str
    dataset_hash: str
    labels: dict[str, str]
    origin: Literal["api", "files", "simulator"]
    rows: int
    feature_columns: int
    label_columns: int
    generated_at: str
    parquet_bytes: int
    parquet_sha256: str


class ValidationChunkViolationsRetyped(TypedDict):
    name: str
    expected: str
    found: str


class ValidationChunkViolationsRole(TypedDict):
    name: str
    expected: str
    found: str


class ValidationChunkViolations(TypedDict):
    missing: list[str]
    extra: list[str]
    retyped: list[ValidationChunkViolationsRetyped]
    order: list[str]
    roles: list[ValidationChunkViolationsRole]


class ValidationChunkCoverage(TypedDict):
    keys_sha256: str
    sessions: int
    listing: str | None
    listing_sha256: str | None
    unchecked: dict[str, str]


class ValidationChunk(TypedDict):
    chunk_id: str
    passed: bool
    rows: int | None
    schema_hash: str | None
    violations: ValidationChunkViolations
    issues: list[str]
    warnings: list[str]
    coverage: NotRequired[ValidationChunkCoverage]


class ValidationDocument(TypedDict):
    run_id: str
    generated_at: str
    manifest_version: str
    schema_hash: str
    passed: bool
    sha256_verified: bool
    inputs: dict[str, str | None]
    chunks: list[ValidationChunk]
