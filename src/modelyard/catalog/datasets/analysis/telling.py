"""``statistics``, ``profile`` and ``quality``: what the last analysis of a version has found."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from typing import Any

from msgspec import structs

from modelyard.catalog.datasets import datasets, keeping
from modelyard.catalog.datasets.analysis import kept
from modelyard.catalog.datasets.analysis.schema import (
    Analysis,
    AnalysisQuery,
    ProfileQuery,
    VersionProfile,
    VersionQuality,
    VersionStatistics,
)
from modelyard.catalog.datasets.schema import Dataset
from modelyard.kernel.context import Context, Item
from modelyard.kernel.route import Raw
from modelyard.ml.figures import statistics as shares
from modelyard.ml.report import STYLE, report

_ERRORS = ("DATASET_NOT_FOUND", "DATA_PRIVACY_VIOLATION", "CONFLICT")
_STYLED = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
_PAGE = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_STYLED}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "private, no-cache",
    "Vary": "Accept",
}


@datasets.get("statistics", errors=_ERRORS)
async def statistics(
    context: Context, item: Item[Dataset], query: AnalysisQuery
) -> VersionStatistics:
    """Get statistics: absent values, repeated rows, outliers and classes of a version."""
    version = await keeping.found(context, item, query.version)
    found, pending = await kept.waited(context, version, query)
    of, made = shares(found.profile), found.profile
    return VersionStatistics(
        **_about(found, pending),
        record_count=made.rows,
        null_values=of.null_values,
        duplicates=of.duplicates,
        duplicates_error=made.duplicates.error,
        outliers=of.outliers,
        target=made.target,
        class_distribution=of.class_distribution,
        sample=made.sample,
    )


@datasets.get("profile", response=VersionProfile, errors=_ERRORS, also=("text/html",))
async def profile(
    context: Context, item: Item[Dataset], query: ProfileQuery
) -> VersionProfile | Raw:
    """Get a version's profile: each column's figures; as JSON, or as a page with pictures."""
    version = await keeping.found(context, item, query.version)
    found, pending = await kept.waited(context, version, query)
    if query.format == "html" or (query.format is None and _wants_page(context)):
        title = f"{item.spec.name} {version.id}"
        page = await asyncio.to_thread(report, found.profile, title, found.quality)
        return Raw(page.encode(), "text/html; charset=utf-8", headers=_PAGE)
    return VersionProfile(**_about(found, pending), profile=found.profile)


@datasets.get("quality", errors=_ERRORS)
async def quality(context: Context, item: Item[Dataset], query: AnalysisQuery) -> VersionQuality:
    """Get a version's quality: completeness, consistency, accuracy, validity, and their issues."""
    version = await keeping.found(context, item, query.version)
    found, pending = await kept.waited(context, version, query)
    return VersionQuality(
        **_about(found, pending),
        **structs.asdict(found.quality),
        key=found.asked.key or [],
        reference=found.asked.reference,
        reference_date=found.asked.reference_date,
    )


def _about(found: Analysis, pending: str | None) -> dict[str, Any]:
    return {
        "version": found.version,
        "analyzed_at": found.analyzed_at,
        "operation": found.operation,
        "pending": pending,
    }


def _wants_page(context: Context) -> bool:
    """Whether a page is named before JSON is, as browsers do."""
    wanted = context.header(b"accept")
    page, document = wanted.find("text/html"), wanted.find("application/json")
    return page >= 0 and (document < 0 or page < document)
