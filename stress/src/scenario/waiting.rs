//! `waiting`: messages wait for a user of react-wechat, who comes and has them.

use crate::client::{self, Conn, Manner, Rx, Tx};
use crate::ledger::{Ledger, Seen};
use crate::message::{self, Envelope, Mark, Shape, Template};
use crate::report::{Lat, Meter, Usage, round};
use crate::sys::{self, Proc, now};
use crate::{Ctx, Outcome, wechat};
use anyhow::{Context, Result, anyhow, bail};
use clap::{Args, value_parser};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

#[derive(Args)]
pub struct Waiting {
    /// Messages that wait.
    #[arg(long, default_value_t = 10_000)]
    messages: u32,
    /// Users who have sent them. What one may send at once is bounded.
    #[arg(long, default_value_t = 25)]
    senders: u16,
    /// Bytes of each message's `content`, as JSON.
    #[arg(long, default_value_t = 128)]
    bytes: usize,
    /// How often they are sent, wait, and are fetched.
    #[arg(long, default_value_t = 5, value_parser = value_parser!(u8).range(1..))]
    times: u8,
}

/// Frames that the server relays at once for one client; beyond that, 200 in a second.
const AT_ONCE: u32 = 500;
/// How long the user stays when it has everything: it is erased meanwhile, and each sender may send
/// as much as before.
const STAY: Duration = Duration::from_millis(2500);
/// How long messages may take to come.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the server is looked at to tell whether it is idle, and the CPU time that an idle one
/// may use meanwhile, in seconds.
const LOOK: Duration = Duration::from_millis(250);
const IDLE: f64 = 0.005;
/// How often it is looked at, at most.
const LOOKS: usize = 240;

/// Messages of react-wechat, which are kept.
const ENVELOPE: Envelope = Envelope::Wechat { kept: true };

/// What the user got, in one round.
struct Got {
    round: u8,
    ledger: Ledger,
    /// Messages that came for the first time, and of them those that came live.
    messages: u64,
    live: u64,
    duplicate: u64,
    late: u64,
    /// Of an earlier round.
    stale: u64,
    corrupt: u64,
}

impl Got {
    fn new(round: u8, senders: u16) -> Self {
        Got {
            round,
            ledger: Ledger::new(senders.into()),
            messages: 0,
            live: 0,
            duplicate: 0,
            late: 0,
            stale: 0,
            corrupt: 0,
        }
    }

    /// Notes the messages in a frame: one, all that waited, or none.
    fn take(&mut self, frame: &[u8], template: &Template, senders: u16) {
        let is_live = frame.starts_with(ENVELOPE.arrives_as());
        let mut rest = frame;
        while let Some((mark, behind)) = message::find(rest) {
            rest = behind;
            if mark.phase != self.round {
                self.stale += 1;
            } else if mark.sender >= senders || template.check(&mark, behind).is_none() {
                self.corrupt += 1;
            } else {
                match self.ledger.see(mark.sender, mark.seq) {
                    Seen::Duplicate => {
                        self.duplicate += 1;
                        continue;
                    }
                    Seen::Late => self.late += 1,
                    Seen::InOrder => {}
                }
                self.messages += 1;
                self.live += u64::from(is_live);
            }
        }
    }
}

/// All rounds.
#[derive(Default)]
struct Sum {
    first: Lat,
    all: Lat,
    /// CPU seconds of the server; none where they are not known.
    storing: Option<f64>,
    delivering: Option<f64>,
    erasing: Option<f64>,
    live: u64,
    faults: Vec<(u64, &'static str)>,
}

impl Sum {
    fn add(&mut self, got: &Got, each: u32, senders: u16) {
        let sent = vec![each; senders.into()];
        self.live += got.live;
        self.faults.extend([
            (got.ledger.lost(&sent, None), "messages lost"),
            (got.duplicate, "messages came twice"),
            (got.late, "messages out of order"),
            (got.stale, "messages came again though they had arrived"),
            (got.corrupt, "messages damaged"),
        ]);
    }
}

/// Adds to what was spent in other rounds.
fn spend(sum: &mut Option<f64>, usage: &Usage) {
    *sum = usage.cpu_s.map(|cpu| cpu + sum.unwrap_or(0.0));
}

async fn open(ctx: &Arc<Ctx>, phone: &str, how: Manner) -> Result<Conn> {
    let joined = client::join(ctx, phone, "", how).await;
    joined.map_err(|failure| anyhow!("{phone} can't connect: {}: {}", failure.stage, failure.error))
}

/// A sender, and what its messages are made of.
type Sender = (Tx, Template);

/// Everybody sends, and ends when the server has nothing more to do: nobody acknowledges messages.
async fn send(ctx: &Ctx, senders: &[Sender], each: u32, phase: u8) -> Result<()> {
    let mut sending = JoinSet::new();
    for (i, (tx, template)) in senders.iter().cloned().enumerate() {
        let (sender, mut template) = (i as u16, template);
        sending.spawn(async move {
            for seq in 0..each {
                let mark = Mark { room: 0, sender, seq, phase, ts: now() };
                tx.text(template.stamp(mark, seq.into())).await?;
            }
            Ok(())
        });
    }
    sending.join_all().await.into_iter().collect::<Result<()>>()?;
    let pids = &ctx.opt.server_pid;
    let cpu = || -> f64 {
        sys::family(pids).into_iter().filter_map(Proc::read).map(|process| process.cpu_s).sum()
    };
    let mut idle = 0;
    for _ in 0..LOOKS {
        let before = cpu();
        sleep(LOOK).await;
        idle = if !pids.is_empty() && cpu() - before < IDLE { idle + 1 } else { 0 };
        // Of a server that can't be looked at it is hoped.
        if idle == 2 || pids.is_empty() {
            break;
        }
    }
    if pids.is_empty() {
        sleep(3 * LOOK).await;
    }
    Ok(())
}

/// Reads until so many messages have come. When the first and the last frame of them came.
async fn receive(
    rx: &mut Rx,
    got: &mut Got,
    template: &Template,
    a: &Waiting,
) -> Result<(u64, u64)> {
    let (mut first, wanted) = (None, u64::from(a.messages));
    loop {
        let frame = rx.next().await?;
        let came = now();
        got.take(&frame, template, a.senders);
        if got.messages > 0 {
            first.get_or_insert(came);
        }
        if got.messages >= wanted {
            return Ok((first.unwrap_or(came), came));
        }
    }
}

/// Reads for some time; nothing more should come.
async fn stay(rx: &mut Rx, got: &mut Got, template: &Template, a: &Waiting) {
    let reading = async {
        while let Ok(frame) = rx.next().await {
            got.take(&frame, template, a.senders);
        }
    };
    let _ = timeout(STAY, reading).await;
}

/// The user comes, has everything, stays for a while, and goes.
async fn fetch(
    ctx: &Arc<Ctx>,
    me: &str,
    got: &mut Got,
    template: &Template,
    a: &Waiting,
    sum: &mut Sum,
) -> Result<Usage> {
    let meter = Meter::start(ctx);
    let Conn { mut rx, tx, .. } =
        open(ctx, me, Manner { unread: true, ..Manner::default() }).await?;
    let opened = now();
    let received = timeout(PATIENCE, receive(&mut rx, got, template, a)).await;
    let delivered = meter.stop();
    if let Ok(received) = received {
        let (first, last) = received.context("the user's connection ended")?;
        sum.first.add(first - opened);
        sum.all.add(last - opened);
    }
    let meter = Meter::start(ctx);
    stay(&mut rx, got, template, a).await;
    tx.end().await?;
    let _ = timeout(PATIENCE, async { while rx.next().await.is_ok() {} }).await;
    spend(&mut sum.delivering, &delivered);
    spend(&mut sum.erasing, &meter.stop());
    Ok(delivered)
}

pub async fn run(ctx: Arc<Ctx>, a: Waiting) -> Result<Outcome> {
    let each = a.messages / u32::from(a.senders.max(1));
    if each == 0 || each > AT_ONCE || each * u32::from(a.senders) != a.messages {
        bail!("needs as many messages of each sender, {AT_ONCE} at most");
    }
    let template = Template::new(a.bytes, Shape::Text, ENVELOPE, ctx.opt.seed);
    let me = ctx.uid("w", 0);
    let phones: Vec<String> = (0..a.senders).map(|i| ctx.uid("s", i.into())).collect();
    let pairs = phones.iter().map(|phone| (phone.clone(), me.clone()));
    wechat::acquaint(&ctx, pairs.collect()).await?;
    let mut senders = Vec::new();
    for phone in &phones {
        let conn = open(&ctx, phone, Manner::default()).await?;
        conn.rx.spawn(|_| {});
        senders.push((conn.tx, template.clone().addressed(&ENVELOPE.head("", phone, &me))));
    }

    let (mut sum, mut usage) = (Sum::default(), None);
    for round in 1..=a.times {
        let meter = Meter::start(&ctx);
        send(&ctx, &senders, each, round).await?;
        spend(&mut sum.storing, &meter.stop());
        let mut got = Got::new(round, a.senders);
        usage = Some(fetch(&ctx, &me, &mut got, &template, &a, &mut sum).await?);
        sum.add(&got, each, a.senders);
    }
    sum.faults.push((ctx.stats.closed.load(Relaxed), "connections lost"));

    let all = f64::from(a.times) * f64::from(a.messages);
    let us_per_message = |cpu: Option<f64>| cpu.map(|cpu| round(cpu / all * 1e6));
    let live = sum.live;
    let late = (live > 0).then(|| format!("{live} messages came live: they did not wait yet"));
    Ok(Outcome {
        config: json!({
            "messages": a.messages, "senders": a.senders, "bytes": template.payload_bytes,
            "times": a.times,
        }),
        result: json!({
            "ms_to_first": sum.first.ms(), "ms_to_all": sum.all.ms(), "came_live": sum.live,
            "store_server_cpu_us_per_message": us_per_message(sum.storing),
            "deliver_server_cpu_us_per_message": us_per_message(sum.delivering),
            "erase_server_cpu_us_per_message": us_per_message(sum.erasing),
        }),
        faults: sum.faults,
        notes: late.into_iter().collect(),
        usage: usage.map(|usage| usage.json).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template() -> Template {
        Template::new(80, Shape::Text, ENVELOPE, 1)
    }

    /// The data of a message, as the server tells it in whatever frame.
    fn data(sender: u16, seq: u32, phase: u8) -> String {
        let mark = Mark { room: 0, sender, seq, phase, ts: 1 };
        let text = String::from_utf8(template().stamp(mark, 0).to_vec()).unwrap();
        let (_, data) = text.split_once(r#""content":"#).unwrap();
        data.split_once(r#","timestamp""#).unwrap().0.to_owned()
    }

    #[test]
    fn what_waited_is_found_in_one_frame_and_counted() {
        let items = [data(0, 0, 2), data(0, 1, 2), data(1, 0, 2)];
        let all =
            format!(r#"{{"type":"wechat/saveConversation","payload":[{}]}}"#, items.join(","));
        let live = format!(r#"{{"type":"wechat/saveMessage","payload":{}}}"#, data(1, 1, 2));
        let mut got = Got::new(2, 2);
        for frame in [&*all, r#"{"type":"wechat/save","payload":{"contacts":[]}}"#, &*live] {
            got.take(frame.as_bytes(), &template(), 2);
        }
        assert_eq!((got.messages, got.live), (4, 1));
        let mut sum = Sum::default();
        sum.add(&got, 2, 2);
        assert!(sum.faults.iter().all(|(n, _)| *n == 0), "{:?}", sum.faults);
    }

    #[test]
    fn whatever_is_wrong_with_it_is_a_fault() {
        let damaged = data(0, 3, 2).replace("\"p\":\"", "\"p\":\"!");
        let items =
            [data(0, 1, 2), data(0, 0, 2), data(0, 1, 2), data(1, 0, 1), data(7, 0, 2), damaged];
        let mut got = Got::new(2, 2);
        got.take(items.join(",").as_bytes(), &template(), 2);
        assert_eq!((got.messages, got.late, got.duplicate), (2, 1, 1));
        assert_eq!((got.stale, got.corrupt), (1, 2));
        let mut sum = Sum::default();
        sum.add(&got, 3, 2);
        assert_eq!(sum.faults[0], (4, "messages lost"));
    }
}
