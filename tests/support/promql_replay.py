"""Series replayed into a real Prometheus, and the expressions it is asked about.

Counters with resets and gaps, gauges below zero, with NaN and infinity, buckets, sparse series and
one that ends: all from one seed, at times that are not round.
"""

import random
from collections.abc import Iterator
from itertools import product
from typing import Final

from analytics.promql import Labels, Sample, Series, labelled
from analytics.promql.series import NAME, made

START_MS: Final = 1_700_006_400_000
LENGTH_MS: Final = 3 * 3_600_000
SCRAPE_MS: Final = 15_000
BOUNDS: Final = ("0.1", "0.5", "1", "2.5", "+Inf")
RANGE: Final = (START_MS + 2_000_000, START_MS + 9_000_000, 173_000)
"""Start, end and step of the ranges that are asked."""
MOMENTS: Final = (START_MS + 3_600_000, START_MS + 7_321_237, START_MS + LENGTH_MS + 60_000)


def series() -> list[Series]:
    """Return what is replayed, family by family."""
    chance = random.Random(6)
    found: dict[Labels, list[Sample]] = {}
    for name, labels, kind in _kinds():
        samples = list(_samples(chance, kind))
        found[labelled({NAME: name, **labels})] = samples
    for job in ("api", "batch"):
        found |= _histogram(chance, job)
    return [made(dict(labels), samples) for labels, samples in found.items()]


def exposition(replayed: list[Series]) -> str:
    """Return series as OpenMetrics text."""
    lines = [
        f"{_selector(one.labels)} {_number(value)} {at_ms / 1000:.3f}"
        for one in replayed
        for at_ms, value in one.samples()
    ]
    return "\n".join([*lines, "# EOF", ""])


def _kinds() -> Iterator[tuple[str, dict[str, str], str]]:
    for job, instance, code in product(("api", "batch"), ("a", "b", "c"), ("200", "500")):
        labels = {"job": job, "instance": instance, "code": code}
        yield "requests_total", labels, "counter"
    for job, instance in product(("api", "batch"), ("a", "b", "c")):
        yield "temperature", {"job": job, "instance": instance}, "gauge"
        yield "build_info", {"job": job, "instance": instance, "version": f"1.{instance}"}, "one"
    yield "odd", {"kind": "nan"}, "nan"
    yield "odd", {"kind": "inf"}, "inf"
    yield "odd", {"kind": "ends"}, "ends"
    yield "sparse", {"zone": "eu"}, "sparse"
    yield "sparse", {"zone": "us", "empty": ""}, "sparse"


def _samples(chance: random.Random, kind: str) -> Iterator[Sample]:
    value = 0.0
    jitter_ms = chance.randrange(SCRAPE_MS)
    every = 16 if kind == "sparse" else 1
    for index in range(0, LENGTH_MS // SCRAPE_MS, every):
        at_ms = START_MS + index * SCRAPE_MS + jitter_ms + chance.randrange(40)
        if chance.random() < 0.05 or (kind == "ends" and index > 300):
            continue
        value = _next(chance, kind, value)
        yield at_ms, value


def _next(chance: random.Random, kind: str, value: float) -> float:
    if kind == "counter":
        return 0.0 if chance.random() < 0.01 else value + chance.randrange(9)
    if kind == "one":
        return 1.0
    if kind in {"nan", "inf"} and chance.random() < 0.2:
        return float(kind)
    return round(value + chance.uniform(-3, 3), 3)


def _histogram(chance: random.Random, job: str) -> dict[Labels, list[Sample]]:
    found: dict[Labels, list[Sample]] = {}
    counts = [0] * len(BOUNDS)
    for index in range(LENGTH_MS // SCRAPE_MS):
        for _ in range(chance.randrange(5)):
            place = chance.randrange(len(BOUNDS))
            counts = [count + (at >= place) for at, count in enumerate(counts)]
        for bound, count in zip(BOUNDS, counts, strict=True):
            labels = labelled({NAME: "latency_bucket", "job": job, "le": bound})
            at_ms = START_MS + index * SCRAPE_MS + 7
            found.setdefault(labels, []).append((at_ms, float(count)))
    return found


def _selector(labels: Labels) -> str:
    pairs = dict(labels)
    name = pairs.pop(NAME)
    return name + "{" + ",".join(f'{key}="{value}"' for key, value in pairs.items()) + "}"


def _number(value: float) -> str:
    return {"nan": "NaN", "inf": "+Inf"}.get(str(value), repr(value))


PLAIN_RANGES: Final = (
    "rate", "increase", "delta", "irate", "idelta", "deriv", "changes", "resets",
    "sum_over_time", "avg_over_time", "min_over_time", "max_over_time", "count_over_time",
    "last_over_time", "present_over_time", "stddev_over_time", "stdvar_over_time",
    "absent_over_time",
)  # fmt: skip
PLAIN_VALUES: Final = (
    "abs", "ceil", "floor", "exp", "ln", "log2", "log10", "sqrt", "sgn", "sin", "cos", "tan",
    "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "deg", "rad",
    "round", "timestamp", "sort", "sort_desc", "absent",
)  # fmt: skip
DATES: Final = (
    "day_of_week", "day_of_month", "day_of_year", "days_in_month", "hour", "minute", "month",
    "year",
)  # fmt: skip
WRITTEN: Final = """
requests_total
requests_total{code="500"}
requests_total{code!="500",job=~"a.*"}
requests_total{job=~"ap"}
requests_total{job=~"ap|batch",instance!~"a|b"}
requests_total{missing=""}
requests_total{missing!=""}
{__name__=~"odd|sparse"}
temperature offset 10m
temperature offset 1h
sparse
odd
-temperature
+temperature
1 + 2 * 3 ^ 2 % 5 - 4 / 8
-2 ^ 2
1 > bool 2
1 / 0
0 / 0
-1 % 3
2 atan2 3
time()
time() - 1700000000
pi()
"text"
vector(1)
vector(time())
scalar(temperature)
scalar(temperature{job="api",instance="a"})
scalar(temperature{job="api",instance="a"}) * temperature
temperature > 0
temperature >= bool 0
0 < temperature
0 > bool temperature
temperature == temperature
temperature != bool temperature offset 5m
odd == odd
odd != odd
odd > 0
odd < bool 1
temperature % 2
temperature ^ 2
temperature * -1
temperature / 0
10 - temperature
sum(temperature) atan2 2
temperature + on(job, instance) build_info
temperature * on(job, instance) group_left(version) build_info
build_info * on(job, instance) group_right(version) temperature
requests_total / ignoring(code) group_left temperature
requests_total / on(job) group_left sum by (job) (requests_total)
requests_total / ignoring(code, instance) group_left() sum by (job) (requests_total)
sum by (job) (requests_total) / on(job) group_right requests_total
temperature > on(job, instance) build_info
temperature > bool on(job, instance) build_info
temperature < on(job) group_left max by (job) (temperature)
requests_total{code="500"} / ignoring(code) requests_total{code="200"}
requests_total{code="500"} / on(job, instance) requests_total{code="200"}
requests_total and on(job, instance) temperature > 0
requests_total and requests_total{code="500"}
requests_total unless requests_total{code="500"}
requests_total unless on(job) temperature{job="api"}
temperature or build_info
temperature or on(job) build_info
temperature{job="api"} or temperature
temperature and ignoring(version) build_info
vector(1) or temperature
temperature > 5 or temperature < -5
absent(nothing)
absent(nothing{a="b",c=~"d"})
absent(nothing{a="b",a="c"})
absent((nothing{a="b"}))
absent(sum(nothing))
absent(odd{kind="ends"})
absent_over_time(nothing{a="b"}[5m])
absent_over_time(odd{kind="ends"}[5m])
absent_over_time(sparse[1m])
sum(requests_total)
sum(odd)
avg(odd)
min(odd)
max(odd)
count(odd)
stddev(odd)
quantile(0.5, odd)
sum by (job) (rate(requests_total[5m]))
sum without (instance, code) (rate(requests_total[5m]))
sum by () (temperature)
sum without () (temperature)
sum by (nothing) (temperature)
avg by (code) (requests_total)
min by (job, code) (requests_total)
max without (instance) (requests_total)
count by (__name__) ({__name__=~".+"})
group by (job) (temperature)
stddev by (job) (temperature)
stdvar by (job) (temperature)
quantile by (job) (0.9, temperature)
quantile(-1, temperature)
quantile(2, temperature)
quantile(scalar(sparse{zone="eu"}), temperature)
topk(2, temperature)
topk by (job) (1, temperature)
topk(0, temperature)
topk(100, temperature)
topk(2, odd)
bottomk(2, temperature)
bottomk by (instance) (1, temperature)
bottomk without (instance) (2, temperature)
bottomk(2, odd)
sum(topk(3, temperature))
count(temperature > 0) by (job)
sum(rate(requests_total{code="500"}[5m])) / sum(rate(requests_total[5m]))
sum by (job) (rate(requests_total{code="500"}[5m])) / sum by (job) (rate(requests_total[5m])) > 0.4
100 * (1 - avg by (instance) (rate(requests_total[2m])))
increase(requests_total[1h]) > 1000
rate(requests_total[5m] offset 20m)
rate(requests_total[5m]) - rate(requests_total[5m] offset 1h)
rate(requests_total[10s])
rate(requests_total[40s])
quantile_over_time(0.5, temperature[10m])
quantile_over_time(0.99, odd[10m])
quantile_over_time(-1, temperature[10m])
quantile_over_time(2, temperature[10m])
predict_linear(temperature[30m], 3600)
predict_linear(temperature[30m] offset 10m, 3600)
predict_linear(odd[30m], 60)
predict_linear(requests_total[30m], -600) < 0
deriv(build_info[10m])
histogram_quantile(0.5, latency_bucket)
histogram_quantile(0.9, rate(latency_bucket[5m]))
histogram_quantile(0.9, sum by (le) (rate(latency_bucket[5m])))
histogram_quantile(0.99, sum by (le, job) (increase(latency_bucket[30m])))
histogram_quantile(-1, latency_bucket)
histogram_quantile(2, latency_bucket)
histogram_quantile(0, latency_bucket)
histogram_quantile(1, latency_bucket)
histogram_quantile(0.5, latency_bucket{le!="+Inf"})
histogram_quantile(0.5, temperature)
histogram_quantile(0.1, latency_bucket{le=~"0.1|[+]Inf"})
clamp(temperature, -1, 1)
clamp(temperature, 1, -1)
clamp_min(temperature, 0)
clamp_max(temperature, 0)
clamp_min(odd, 0)
round(temperature, 0.5)
round(temperature, 5)
round(-temperature)
timestamp(temperature offset 5m)
timestamp(temperature + 0)
timestamp(vector(1))
day_of_week()
hour()
year(vector(0))
month(vector(1709210000))
days_in_month(vector(1709210000))
label_replace(temperature, "host", "$1-x", "instance", "(.*)")
label_replace(temperature, "host", "${1}x", "instance", "(a|b)")
label_replace(temperature, "host", "$1x", "instance", "(a|b)")
label_replace(temperature, "host", "$name", "instance", "(?P<name>.)")
label_replace(temperature, "job", "", "job", "api")
label_replace(temperature, "instance", "same", "instance", "a")
label_replace(temperature, "host", "$$", "instance", "a")
label_replace(temperature, "instance", "same", "instance", ".*")
label_join(temperature, "all", "-", "job", "instance")
label_join(temperature, "all", "-", "job", "nothing", "instance")
label_join(temperature, "job", ",")
sort(odd)
sort_desc(odd)
sum(temperature) + scalar(sum(temperature))
temperature + temperature{job="api"}
rate({__name__=~"requests_total|sparse"}[5m])
last_over_time({__name__=~"odd|sparse"}[10m])
-{__name__=~"temperature|build_info"}
requests_total / temperature
requests_total / on(job) temperature
requests_total * on(job, instance) temperature
temperature * on(job) build_info
abs(temperature{job="api"}) or sparse
sum(count_over_time({__name__=~".+"}[5m]))
max_over_time(temperature[1h]) - min_over_time(temperature[1h])
(temperature - avg_over_time(temperature[1h])) / stddev_over_time(temperature[1h])
avg(temperature) by (job) > bool 0 and on() vector(1)
temperature unless temperature
temperature and vector(1)
requests_total[1m]
odd[5m]
"""
"""Expressions written by hand."""


def expressions() -> list[str]:
    """Return every expression that is asked about, each once."""
    ranges = [
        f"{name}({selector})"
        for name in PLAIN_RANGES
        for selector in ("requests_total[5m]", "odd[7m30s]", "sparse[20m]", "temperature[1m]")
    ]
    values = [f"{name}({of})" for name in PLAIN_VALUES for of in ("temperature", "odd * 0.1")]
    times = ("temperature * 1e6", "sparse * 86400 + time()")
    dates = [f"{name}({of})" for name in DATES for of in times]
    return list(dict.fromkeys([*WRITTEN.strip().splitlines(), *ranges, *values, *dates]))
