"""Rule files as people publish them, made from parts: conditions, bodies and habits of writing.

What they say is made up; how they say it is what packs for exporters, clusters, databases, queues
and probes do: recording rules by levels, multi-window burn rates, runbook links, tables of hosts.
"""

from collections.abc import Iterator
from typing import Final

import yaml

EXPRESSIONS: Final = {
    "node": '(node_filesystem_avail_bytes{fstype!~"tmpfs|ramfs"} * 100) / '
    "node_filesystem_size_bytes < 10 and ON (instance, device) node_filesystem_readonly == 0",
    "cpu": '100 - (avg by(instance) (rate(node_cpu_seconds_total{mode="idle"}[2m])) * 100) > 80',
    "memory": "node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes * 100 < 10",
    "predicted": "predict_linear(node_filesystem_free_bytes[1h], 24 * 3600) < 0",
    "pods": "sum by (namespace, pod) (increase(kube_pod_container_status_restarts_total[1h])) > 5",
    "replicas": "kube_deployment_spec_replicas != kube_deployment_status_replicas_available",
    "latency": "histogram_quantile(0.99, sum(rate(http_request_duration_seconds_bucket[5m])) "
    "by (le, job)) > 1",
    "errors": 'sum(rate(http_requests_total{code=~"5.."}[5m])) by (job) / '
    "sum(rate(http_requests_total[5m])) by (job) > 0.05",
    "burn": '(job:slo_errors_per_request:ratio_rate1h{job="web"} > (14.4*0.001) and '
    'job:slo_errors_per_request:ratio_rate5m{job="web"} > (14.4*0.001))',
    "probe": "probe_ssl_earliest_cert_expiry - time() < 86400 * 30",
    "absent": 'absent(up{job="prometheus"})',
    "offset": "sum(queue_messages) > 2 * sum(queue_messages offset 1d)",
    "lag": "sum by (consumergroup) (kafka_consumergroup_lag) > 10000 unless on (consumergroup) "
    "ignored_groups",
    "replication": "mysql_slave_status_slave_sql_running == 0 or "
    "(mysql_slave_status_seconds_behind_master - mysql_slave_status_sql_delay) > 30",
    "top": "topk(5, sum by (tenant) (rate(ingest_bytes_total[10m]))) > 1e6",
    "subquery": "max_over_time(deriv(rate(requests_total[5m])[30m:1m])[1h:]) > 1",
    "label": 'label_replace(up == 0, "host", "$1", "instance", "([^:]+):.*")',
    "join": "up * on (instance) group_left (nodename) node_uname_info == 0",
}  # fmt: skip
BODIES: Final = {
    "plain": {"summary": "Something is wrong"},
    "labels": {
        "summary": "{{ $labels.job }} at {{ $labels.instance }}",
        "description": "{{ $labels.instance }} of {{ $labels.job }} has {{ $value }}.",
        "runbook_url": "https://runbooks.example/{{ $labels.alertname }}",
    },
    "lines": {
        "summary": "Low (instance {{ $labels.instance }})",
        "description": "It is low\n  VALUE = {{ $value }}\n  LABELS = {{ $labels }}",
    },
    "humanized": {
        "message": "{{ $value | humanizePercentage }}, {{ $value | humanize }}, "
        "{{ $value | humanize1024 }}B for {{ $value | humanizeDuration }}",
    },
    "printed": {"description": 'It is {{ printf "%.2f" $value }}% {{ $labels.pod | toUpper }}'},
    "branches": {
        "summary": "{{ if eq $labels.severity `critical` }}Page{{ else if $labels.team }}Tell "
        "{{ $labels.team }}{{ else }}Log{{ end }}: {{ with $labels.namespace }}in {{ . }}{{ end }}",
    },
    "queried": {
        "description": "{{ with query `sum(up)` }}{{ . | first | value | humanize }} are up"
        "{{ end }}{{ range query `up == 0` }} {{ .Labels.instance }}={{ .Value }}{{ end }}",
        "table": "{{ range $i, $x := query `topk(3, up)` | sortByLabel `instance` }}"
        "{{ $i }}. {{ label `instance` $x | stripPort | stripDomain }}\n{{ end }}",
    },
    "replaced": {
        "summary": "{{ reReplaceAll `(.*)-[0-9]+` `$1` $labels.pod | title }} "
        "{{ $labels.instance | match `^web` }}",
        "dashboard": "{{ externalURL }}{{ `up` | graphLink }} {{ tableLink `up` }}",
    },
    "defined": {
        "summary": '{{ define "who" }}{{ .job | toLower }}{{ end }}{{ template "who" $labels }}',
        "since": "{{ $value | humanizeTimestamp }} {{ ($value | toTime).Unix }}",
    },
    "external": {"summary": "{{ $externalLabels.cluster }}: {{ $labels.job }} {{ $externalURL }}"},
    "trimmed": {"summary": "{{- /* whom */ -}} {{ $labels.job -}} !"},
}  # fmt: skip
"""What rules say of themselves, every construct of templates among it."""


def files() -> Iterator[tuple[str, str]]:
    """Give names and texts of at least 120 files, each unlike the others."""
    for place, (subject, expression) in enumerate(EXPRESSIONS.items()):
        for turn, (habit, body) in enumerate(BODIES.items()):
            if (place + turn) % 3 == 2:
                continue
            yield f"{subject}-{habit}.yml", _file(subject, expression, body, style=place + turn)


def _file(subject: str, expression: str, body: dict[str, str], *, style: int) -> str:
    alert = {
        "alert": subject.title() + "Wrong",
        "expr": expression if style % 2 else f"{expression}\n",
        "for": ("0m", "5m", "1h30m", "2d")[style % 4],
        "labels": {
            "severity": ("warning", "critical", "info")[style % 3],
            "team": "{{ $labels.job }}",
        },
        "annotations": body,
    }
    if style % 5 == 0:
        alert["keep_firing_for"] = "10m"
    record: dict[str, object] = {
        "record": f"job:{subject}:sum_rate5m",
        "expr": "sum by (job) (rate(x_total[5m]))",
    }
    if style % 4 == 1:
        record["labels"] = {"level": "job"}
    group: dict[str, object] = {"name": f"{subject}.rules", "rules": [record, alert]}
    if style % 3 == 0:
        group |= {"interval": "30s", "limit": 100}
    text = yaml.safe_dump({"groups": [group]}, sort_keys=style % 2 == 0, width=60 + style)
    return f"# {subject}: rules\n---\n{text}" if style % 6 == 0 else text
