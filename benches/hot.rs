//! The hot pieces alone: `cargo bench`, or `cargo bench -- gzip` for some. They show where a change
//! helps; what users get is measured by `stress/run`.
use std::hint::black_box;

use always_online::{
    dialect::always_online::bench,
    domain::{
        broker::{Audience, Event, Publication},
        ids::ConnectionId,
        message::Kind,
    },
};
use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

/// A stroke on a whiteboard, or a line in a chat; the numbers differ, or compression would look too
/// good.
fn message(i: usize) -> String {
    let at = 1_700_000_000_000 + (i * 7919) % 1_000_003;
    if i.is_multiple_of(2) {
        let points: Vec<String> = (0..12)
            .map(|k| format!("[{},{}]", 400 + (i * 31 + k * 17) % 97, 300 + (i * 13 + k * 29) % 89))
            .collect();
        format!(r#"{{"s":0,"1":"m{i}","type":"stroke","points":[{}],"at":{at}}}"#, points.join(","))
    } else {
        let words = [
            "please", "draw", "a", "circle", "around", "every", "answer", "that", "you", "think",
            "is", "right",
        ];
        let text: Vec<&str> = (0..14).map(|k| words[(i * 5 + k * k) % words.len()]).collect();
        format!(r#"{{"msgId":"m{i}","storage":"insert","text":"{}","at":{at}}}"#, text.join(" "))
    }
}

fn publications(count: usize) -> Vec<Publication> {
    (0..count)
        .map(|i| Publication {
            n: i as u64 + 1,
            audience: Audience::ExceptConnection(ConnectionId(1)),
            index: Some(i as u64),
            event: Event::Message { kind: Kind::Insert, body: Bytes::from(message(i)) },
        })
        .collect()
}

fn hot(c: &mut Criterion) {
    let small = format!(r#"217["msg",{}]"#, message(0));
    let large = format!(r#"217["msg",{{"s":0,"data":"{}"}}]"#, "x".repeat(100_000));
    for (name, text) in [("small", &small), ("100 KB", &large)] {
        let mut group = c.benchmark_group("receive");
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(name, |b| {
            b.iter(|| bench::receive(black_box(text), r#""ann""#, 512_000))
        });
    }
    for count in [1, 8, 64] {
        let publications = publications(count);
        let mut group = c.benchmark_group("encode");
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(format!("{count} messages"), |b| {
            b.iter(|| bench::encode(black_box(&publications)))
        });
    }
    let bodies: Vec<Bytes> = (0..200).map(|i| Bytes::from(message(i))).collect();
    let page = bench::page(&bodies);
    let gzip = bench::Gzip::default();
    let mut group = c.benchmark_group("page of 200");
    group.throughput(Throughput::Bytes(page.len() as u64));
    group.bench_function("join", |b| b.iter(|| bench::page(black_box(&bodies))));
    group.bench_function("gzip, state used again", |b| b.iter(|| gzip.string(black_box(&page))));
    group.bench_function("gzip, new state", |b| {
        b.iter_batched(
            bench::Gzip::default,
            |gzip| gzip.string(black_box(&page)),
            BatchSize::SmallInput,
        );
    });
}

criterion_group!(benches, hot);
criterion_main!(benches);
