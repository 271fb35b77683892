"""The topology of a worker: a recipe for each topic that it reads, and the rules of its folds."""

from collections.abc import Mapping
from typing import Any, Final, TypeVar

from msgspec.structs import replace

from analytics.contracts import topics
from analytics.contracts.signatures import SignatureRules
from analytics.contracts.topics import Topic
from analytics.measures.cardinality import CardinalityLimits
from analytics.measures.count_fold import BY_KIND, CountFold, KeyColumns, spec_of
from analytics.measures.fold import Arrival, FoldRules, PartitionFold
from analytics.measures.prices import PriceTable
from analytics.windows.final_aggregation import MergeFold, MergeRules
from analytics.windows.keyed import WindowSpec
from analytics.windows.tumbling import NARROWEST_MS
from streams.consumer import deserialising, results
from streams.consumer.deserialising import Reader
from streams.consumer.partition_processor import TopicSource
from streams.consumer.signed_records import checked
from streams.settings import StreamsSettings
from streams.store.checkpoint import Checkpoint

MERGE_RULES: Final = MergeRules()
K = TypeVar("K", bound=tuple[object, ...])


def recipes(
    prices: PriceTable, rules: FoldRules, merge_rules: MergeRules = MERGE_RULES
) -> Mapping[str, TopicSource[Any]]:
    """Return the recipe of every topic that a worker reads, by address."""

    def fold(claim: Checkpoint) -> PartitionFold:
        return PartitionFold(
            prices=prices,
            watermark_ms=claim.watermark_ms,
            open_cells=claim.open_cells,
            rules=rules,
            apart=claim.apart,
        )

    def recipe(topic: Topic, read: Reader[Arrival]) -> TopicSource[Arrival]:
        return TopicSource(
            topic=topic.address, read=read, fold=fold, results=results.of_first_stage
        )

    def merging(claim: Checkpoint) -> MergeFold:
        return MergeFold(state=claim.state, kept=claim.kept, rules=merge_rules)

    facts = {
        topics.AGENTS.address: recipe(topics.AGENTS, deserialising.events_of(topics.AGENTS)),
        topics.CONNECTIONS.address: tallied(topics.CONNECTIONS, BY_KIND, rules, spec_of(rules)),
        topics.REVIEWS.address: tallied(topics.REVIEWS, BY_KIND, rules, spec_of(rules)),
    }
    return facts | {
        topics.PARTIALS.address: TopicSource(
            topic=topics.PARTIALS.address,
            read=deserialising.parcels,
            fold=merging,
            results=results.of_second_stage,
        ),
        topics.DEAD_LETTERS.address: recipe(topics.DEAD_LETTERS, deserialising.read_dead_letters),
    }


def signed(
    made: Mapping[str, TopicSource[Any]], rules: SignatureRules
) -> Mapping[str, TopicSource[Any]]:
    """Return the recipes for records that these rules take, all where they have no key."""
    if not rules.keys:
        return made
    return {
        topic: replace(recipe, read=checked(topic, recipe.read, rules))
        for topic, recipe in made.items()
    }


def tallied(
    topic: Topic, series: KeyColumns[K], rules: FoldRules, spec: WindowSpec
) -> TopicSource[Arrival]:
    """Return the recipe of a topic whose events are counted by series, and are of no session."""

    def fold(claim: Checkpoint) -> CountFold[K]:
        return CountFold(
            topic,
            series,
            spec,
            watermark_ms=claim.watermark_ms,
            open_cells=claim.open_cells,
            rules=rules,
        )

    read = deserialising.events_of(topic)
    return TopicSource(topic=topic.address, read=read, fold=fold, results=results.of_first_stage)


def rules(settings: StreamsSettings) -> FoldRules:
    """Return the rules of the fold that the settings ask for."""
    return FoldRules(
        lateness_ms=settings.lateness_ms,
        future_skew_ms=settings.future_skew_ms,
        idle_ms=settings.idle_ms,
        stuck_repeats=settings.stuck_repeats,
        sessions_max=settings.sessions_max,
        remembered_max=settings.remembered_max,
        cardinality=CardinalityLimits(
            values_max=settings.tenant_values_max,
            series_max=settings.tenant_series_max,
            sessions_max=settings.tenant_sessions_max,
            idle_ms=settings.tenant_idle_ms,
        ),
    )


def merge_rules(settings: StreamsSettings) -> MergeRules:
    """Return the rules of the second stage that the settings ask for.

    A partition that is not quiet tells of each narrowest window that ends, so nobody is taken for
    idle who was silent for no longer than one.
    """
    return MergeRules(
        idle_ms=settings.idle_ms + NARROWEST_MS,
        kept_ms=settings.partials_kept_ms,
        partials_max=settings.partials_max,
    )
