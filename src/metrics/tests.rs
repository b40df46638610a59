//! The page, as a scraper reads it.
use std::time::Duration;

use super::*;

fn lines(metrics: &Metrics, name: &str) -> Vec<String> {
    let text = metrics.text();
    let of = |line: &&str| line.starts_with(name) || line.split(' ').nth(2) == Some(name);
    text.lines().filter(of).map(str::to_owned).collect()
}

#[test]
fn a_page_says_what_each_metric_is_and_ends() {
    let metrics = Metrics::default();
    metrics.connections.opened.inc_by(3);
    assert_eq!(
        lines(&metrics, "always_online_connections_opened"),
        [
            "# HELP always_online_connections_opened Connections opened.",
            "# TYPE always_online_connections_opened counter",
            "always_online_connections_opened_total 3",
        ]
    );
    assert!(metrics.text().ends_with("# EOF\n"));
    let unit = "# UNIT always_online_received_bytes bytes";
    assert!(metrics.text().lines().any(|line| line == unit));
}

#[test]
fn a_histogram_counts_what_is_not_above_the_end_of_each_range() {
    let metrics = Metrics::default();
    for members in [1, 2, 2, 3, 50_000] {
        metrics.messages.fanned_out(members, members);
    }
    let page = lines(&metrics, "always_online_fanout_members");
    let value = |series: &str| {
        let line = page.iter().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map(str::to_owned).unwrap_or_else(|| panic!("no {series} in {page:?}"))
    };
    let bucket = |end: &str| value(&format!("always_online_fanout_members_bucket{{le=\"{end}\"}}"));
    assert_eq!(["1.0", "2.0", "5.0", "20000.0", "+Inf"].map(bucket), ["1", "3", "4", "4", "5"]);
    assert_eq!(value("always_online_fanout_members_count"), "5");
    assert_eq!(value("always_online_fanout_members_sum"), "50008");
    assert_eq!(metrics.deliveries_total(), 50_008);
}

#[tokio::test(start_paused = true)]
async fn calls_of_stores_are_timed_and_their_failures_counted() {
    let metrics = Metrics::default();
    let sleep = tokio::time::sleep(Duration::from_millis(20));
    let done = metrics.store.timed(Call::Page, async {
        sleep.await;
        Ok::<_, ()>(7)
    });
    assert_eq!(done.await, Ok(7));
    assert_eq!(metrics.store.timed(Call::Page, async { Err::<(), _>(8) }).await, Err(8));
    let page = metrics.text();
    for line in [
        r#"always_online_store_call_seconds_bucket{call="page",le="0.01"} 1"#,
        r#"always_online_store_call_seconds_bucket{call="page",le="0.025"} 2"#,
        r#"always_online_store_call_seconds_count{call="page"} 2"#,
        r#"always_online_store_call_failures_total{call="page"} 1"#,
        r#"always_online_store_call_failures_total{call="publish"} 0"#,
    ] {
        assert!(page.lines().any(|l| l == line), "{line} is not in {page}");
    }
}

#[test]
fn what_has_labels_is_there_from_the_start_and_what_is_new_is_added() {
    let metrics = Metrics::default();
    let reason = |word: &str| format!("always_online_drops_total{{reason=\"{word}\"}}");
    assert!(metrics.text().contains(&(reason("slow") + " 0\n")));
    metrics.dropped(Reason::Slow);
    assert!(metrics.text().contains(&(reason("slow") + " 1\n")));
    metrics.restarted("a \"task\"\\\n");
    metrics.restarted("a \"task\"\\\n");
    let line = r#"always_online_task_restarts_total{task="a \"task\"\\\n"} 2"#;
    assert!(metrics.text().lines().any(|l| l == line), "{}", metrics.text());
}

#[test]
fn each_series_is_there_once() {
    let metrics = Metrics::default();
    let page = metrics.text();
    let mut series: Vec<&str> = page
        .lines()
        .filter(|l| !l.starts_with('#'))
        .map(|l| l.rsplit_once(' ').unwrap().0)
        .collect();
    let all = series.len();
    series.sort_unstable();
    series.dedup();
    assert_eq!(series.len(), all);
}

#[test]
fn words_are_counted_where_they_belong() {
    let metrics = Metrics::default();
    metrics.messages.handled(Event::Sync, Outcome::Refused, 2);
    metrics.messages.looked_up(Cache::Pages, true);
    metrics.messages.looked_up(Cache::HookAnswers, false);
    metrics.connections.carried(Carriage::Polling3).inc();
    metrics.connections.shook_hands(Handshake::Failed);
    metrics.connections.certificate("/etc/a.pem", 1_800_000_000);
    metrics.node.beat(Beat::Late);
    metrics.published(3, 2, 1);
    let page = metrics.text();
    for line in [
        r#"always_online_events_total{event="sync",outcome="refused"} 2"#,
        r#"always_online_cache_lookups_total{cache="pages",outcome="hit"} 1"#,
        r#"always_online_cache_lookups_total{cache="hook answers",outcome="miss"} 1"#,
        r#"always_online_clients{dialect="always_online",carrier="polling",version="3"} 1"#,
        r#"always_online_tls_handshakes_total{outcome="failed"} 1"#,
        r#"always_online_tls_certificate_expiry_timestamp_seconds{file="/etc/a.pem"} 1800000000"#,
        r#"always_online_lease_renewals_total{outcome="late"} 1"#,
        r#"always_online_messages_total{storage="update"} 2"#,
    ] {
        assert!(page.lines().any(|l| l == line), "{line} is not in {page}");
    }
    assert_eq!(metrics.messages_total(), 6);
}

/// All threads add, and nothing is lost.
#[test]
fn striped_counters_count_all() {
    let counter = Striped::default();
    std::thread::scope(|scope| {
        for _ in 0..40 {
            scope.spawn(|| (0..1000).for_each(|_| counter.inc_by(2)));
        }
    });
    assert_eq!(counter.get(), 80_000);
}
