//! Rooms full of members who talk, with every delivery accounted for; common to `fanout` and
//! `slow`.

mod phase;

use super::{Crowd, gather_all, quiet};
use crate::client::{Manner, REMOTE_DISCONNECT, Tx};
use crate::ledger::{Ledger, Seen};
use crate::message::{self, Envelope, Mark, Shape, Template};
use crate::report::{Lat, Meter};
use crate::sys::{self, Timer, now};
use crate::webhooks::Webhooks;
use crate::{Ctx, Dialect, wechat};
use anyhow::{Context, Result, bail};
use clap::Args;
use parking_lot::Mutex;
use phase::{Phase, Tally};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// What is said in the rooms.
#[derive(Args, Clone, Debug)]
pub struct Talk {
    /// Senders in each room.
    #[arg(long, default_value_t = 1)]
    pub senders: usize,
    /// Bytes of each message's `data`, as JSON.
    #[arg(long, default_value_t = 128)]
    pub bytes: usize,
    /// What fills a message.
    #[arg(long, value_enum, default_value_t = Shape::Text)]
    pub shape: Shape,
    /// Storage type: 0 insert, 1 update, 2 ignore. Of react-wechat: 0 messages, 2 signalling.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(0..=2))]
    pub store: u8,
    /// Ask for an acknowledgement of each message; gotapi-ws always sends one.
    #[arg(long)]
    pub acknowledged: bool,
    /// Different message ids of each sender, for storage type 1.
    #[arg(long, default_value_t = 16)]
    pub update_keys: u32,
    /// Messages sent per second, by all senders together.
    #[arg(long, default_value_t = 100.0)]
    pub rate: f64,
    /// Seconds to measure.
    #[arg(long, default_value_t = 10.0)]
    pub duration: f64,
    /// Seconds of the same before, not measured.
    #[arg(long, default_value_t = 2.0)]
    pub warmup: f64,
    /// Seconds to wait for stragglers before they count as lost.
    #[arg(long, default_value_t = 5.0)]
    pub drain: f64,
}

impl Talk {
    fn envelope(&self, dialect: Dialect) -> Result<Envelope> {
        let store = self.store;
        match dialect {
            Dialect::AlwaysOnline if self.acknowledged => Ok(Envelope::Acknowledged { store }),
            Dialect::AlwaysOnline => Ok(Envelope::Plain { store }),
            Dialect::Gotapi if store == 0 => Ok(Envelope::Gotapi),
            Dialect::ChatService if store == 0 => Ok(Envelope::ChatService),
            Dialect::Wechat if store != 1 => Ok(Envelope::Wechat { kept: store == 0 }),
            Dialect::Wechat => bail!("wechat has messages, --store 0, and signalling, --store 2"),
            Dialect::Gotapi | Dialect::ChatService => {
                bail!("{} stores messages: --store 0", dialect.name())
            }
        }
    }
}

/// How long after the end a sender may still be busy with what was due before.
const GRACE: Duration = Duration::from_secs(5);

/// Rooms full of connected members, ready to talk.
pub struct Hall {
    rooms: usize,
    members: usize,
    senders: usize,
    talk: Talk,
    window: Option<usize>,
    envelope: Envelope,
    pub template: Template,
    /// What a sender's messages begin with.
    heads: Vec<Vec<u8>>,
    txs: Mutex<Vec<Option<Tx>>>,
    tally: Mutex<Tally>,
    /// When the first member of the first room was told that another is gone.
    pub departures: Mutex<Vec<u64>>,
    /// Per sender: messages it may still send (closed loop).
    windows: Vec<Semaphore>,
    /// The endpoint of webhooks, if there is one, and what it is to be told by the phases so far.
    webhooks: Option<Arc<Webhooks>>,
    stored: Mutex<u64>,
}

impl Hall {
    pub async fn open(
        ctx: &Arc<Ctx>,
        rooms: usize,
        members: usize,
        talk: &Talk,
        window: Option<usize>,
    ) -> Result<Arc<Hall>> {
        let senders = talk.senders;
        if members < 2 || senders < 1 || senders > members || rooms < 1 {
            bail!("needs a room, 2 members in each, and senders among them");
        }
        if rooms > 65535 || senders > 65535 {
            bail!("65535 rooms, and senders in each, at most");
        }
        if window.is_none() && talk.rate <= 0.0 || window == Some(0) {
            bail!("nobody would ever say a thing");
        }
        let envelope = talk.envelope(ctx.opt.dialect)?;
        let uid = |room: usize, member: usize| ctx.uid("m", room * members + member);
        if ctx.opt.dialect == Dialect::Wechat {
            if members != 2 {
                bail!("users of wechat write to one other: --members 2");
            }
            let pairs = (0..rooms).map(|room| (uid(room, 0), uid(room, 1)));
            wechat::acquaint(ctx, pairs.collect()).await?;
        }
        let template = Template::new(talk.bytes, talk.shape, envelope, ctx.opt.seed);
        let webhooks = Webhooks::start(ctx, &template).await?;
        if webhooks.is_some() && talk.store != 0 {
            bail!("--webhook checks what is stored: --store 0");
        }
        let hall = Arc::new(Hall {
            rooms,
            members,
            senders,
            talk: talk.clone(),
            window,
            envelope,
            template,
            heads: (0..rooms * senders)
                .map(|s| {
                    let (room, sender) = (s / senders, s % senders);
                    let peer = uid(room, (sender + 1) % members);
                    envelope.head(&ctx.room(room), &uid(room, sender), &peer)
                })
                .collect(),
            txs: Mutex::new(vec![None; rooms * senders]),
            tally: Mutex::default(),
            departures: Mutex::default(),
            windows: (0..rooms * senders).map(|_| Semaphore::new(0)).collect(),
            webhooks,
            stored: Mutex::new(0),
        });
        let crowd = Crowd {
            n: rooms * members,
            role: "m",
            first_room: 0,
            room_size: members,
            how: Manner::default(),
        };
        let h = hall.clone();
        gather_all(ctx, crowd, move |i, conn| {
            let (room, member) = (i / members, i % members);
            if member < senders {
                h.txs.lock()[room * senders + member] = Some(conn.tx);
            }
            let hall = h.clone();
            conn.rx.spawn(move |p| hall.hear(room, member, p));
        })
        .await?;
        quiet(ctx).await;
        Ok(hall)
    }

    /// The member whose receipt of `sender`'s message frees its place in the
    /// window: the one who joined last, as servers tend to write in that order.
    fn acknowledger(&self, sender: usize) -> usize {
        let last = self.members - 1;
        if sender == last { last - 1 } else { last }
    }

    fn hear(&self, room: usize, member: usize, packet: &[u8]) {
        if packet.starts_with(self.envelope.arrives_as()) {
            self.receive(room, member, packet);
        } else if self.envelope.acknowledged_by().is_some_and(|ack| packet.starts_with(ack)) {
            self.tally.lock().acknowledged += 1;
        } else if (room, member) == (0, 0) && packet.starts_with(REMOTE_DISCONNECT) {
            self.departures.lock().push(now());
        }
    }

    fn receive(&self, room: usize, member: usize, packet: &[u8]) {
        let t = now();
        let mut tally = self.tally.lock();
        let Some((mark, rest)) = message::find(packet) else {
            tally.corrupt += 1;
            return;
        };
        if mark.phase != tally.phase {
            tally.stale += 1;
        } else if mark.room as usize != room {
            tally.leaked += 1;
        } else if self.template.check(&mark, rest).is_none() || mark.sender as usize >= self.senders
        {
            tally.corrupt += 1;
        } else if mark.sender as usize == member && !self.envelope.echoes() {
            tally.echoed += 1;
        } else {
            match tally.ledgers[room * self.members + member].see(mark.sender, mark.seq) {
                Seen::Duplicate => {
                    tally.duplicate += 1;
                    return;
                }
                Seen::Late => tally.late += 1,
                Seen::InOrder => {}
            }
            tally.delivered += 1;
            tally.wire_bytes += packet.len() as u64;
            tally.last = t;
            tally.lat.add(t.saturating_sub(mark.ts));
            if self.window.is_some() && member == self.acknowledger(mark.sender as usize) {
                self.windows[room * self.senders + mark.sender as usize].add_permits(1);
            }
        }
    }

    /// Talks for `seconds`, waits for stragglers, and counts.
    pub async fn phase(self: &Arc<Self>, ctx: &Arc<Ctx>, no: u8, seconds: f64) -> Phase {
        let fresh = || Ledger::new(self.senders);
        *self.tally.lock() = Tally {
            phase: no,
            ledgers: (0..self.rooms * self.members).map(|_| fresh()).collect(),
            ..Tally::default()
        };
        for w in &self.windows {
            w.forget_permits(usize::MAX >> 4);
            w.add_permits(self.window.unwrap_or(0));
        }

        let meter = Meter::start(ctx);
        let start = now() + 5_000_000;
        let (sent, said, send_lag) = self.talk_all(no, start, seconds).await;
        let total: u64 = sent.iter().map(|&n| n as u64).sum();
        let echoes = self.envelope.echoes();
        let expected = total * (self.members as u64 - u64::from(!echoes));
        let owed = self.envelope.acknowledged_by().map_or(0, |_| total);
        let deadline = now() + sys::secs(self.talk.drain);
        let complete = |tally: &Tally| tally.delivered >= expected && tally.acknowledged >= owed;
        while !complete(&self.tally.lock()) && now() < deadline {
            sleep(Duration::from_millis(2)).await;
        }
        let webhooks = self.told(total).await;
        let usage = meter.stop();
        let tally = std::mem::take(&mut *self.tally.lock());
        let lost = (tally.ledgers.iter().enumerate())
            .map(|(i, l)| {
                let (room, member) = (i / self.members, i % self.members);
                let sent = &sent[room * self.senders..][..self.senders];
                l.lost(sent, (!echoes).then_some(member))
            })
            .sum();
        let mut span = tally.last.saturating_sub(start) as f64 / 1e9;
        if self.window.is_none() {
            span = span.max(seconds); // nothing was due after the last message
        }
        Phase {
            sent: total,
            unsent: said.unsent,
            expected,
            owed,
            lost,
            tally,
            seconds: span,
            send_lag,
            ack_timeouts: said.ack_timeouts,
            broken: said.broken,
            webhooks,
            usage,
        }
    }

    /// Waits until the endpoint of webhooks knows of these messages, too; what it was told, and what
    /// is wrong with it.
    async fn told(&self, messages: u64) -> Option<(Value, Vec<(u64, &'static str)>)> {
        let webhooks = self.webhooks.as_ref()?;
        let stored = {
            let mut stored = self.stored.lock();
            *stored += messages;
            *stored
        };
        webhooks.complete(stored, Duration::from_secs_f64(self.talk.drain)).await;
        Some((webhooks.json(), webhooks.faults(stored)))
    }

    /// All senders' part of a phase: what each sent, what happened to all of them, and how late
    /// their messages went out.
    async fn talk_all(
        self: &Arc<Self>,
        phase: u8,
        start: u64,
        seconds: f64,
    ) -> (Vec<u32>, Said, Lat) {
        let lag = Arc::new(Mutex::new(Lat::default()));
        let end = start + sys::secs(seconds);
        let mut senders = JoinSet::new();
        for s in 0..self.rooms * self.senders {
            let (hall, lag) = (self.clone(), lag.clone());
            senders.spawn(async move {
                let mut said = Said::default();
                // Whoever is stuck in a write then stays so.
                let limit = Duration::from_secs_f64(seconds) + GRACE + Duration::from_secs(1);
                let talking = hall.talk(s, phase, start, end, &lag, &mut said);
                if !matches!(timeout(limit, talking).await, Ok(Ok(()))) {
                    said.broken = 1;
                }
                (s, said)
            });
        }
        let mut sent = vec![0u32; self.rooms * self.senders];
        let mut all = Said::default();
        for (s, said) in senders.join_all().await {
            sent[s] = said.sent;
            all.unsent += said.unsent;
            all.ack_timeouts += said.ack_timeouts;
            all.broken += said.broken;
        }
        let lag = std::mem::take(&mut *lag.lock());
        (sent, all, lag)
    }

    /// One sender's part of a phase.
    async fn talk(
        &self,
        s: usize,
        phase: u8,
        start: u64,
        end: u64,
        lag: &Mutex<Lat>,
        said: &mut Said,
    ) -> Result<()> {
        let talk = &self.talk;
        let tx = self.txs.lock()[s].clone().context("a sender never joined")?;
        let (room, sender) = ((s / self.senders) as u16, (s % self.senders) as u16);
        let mut template = self.template.clone().addressed(&self.heads[s]);
        let timer = Timer::new()?;
        let id = |seq: u32| {
            let n = if talk.store == 1 { seq % talk.update_keys.max(1) } else { seq };
            (sender as u64) << 32 | n as u64
        };
        let mark = |seq, ts| Mark { room, sender, seq, phase, ts };

        if self.window.is_some() {
            timer.until(start).await?;
            while now() < end {
                match timeout(Duration::from_secs(2), self.windows[s].acquire()).await {
                    Ok(permit) => permit?.forget(),
                    // Its acknowledgement may be lost: go on, or all would stop.
                    Err(_) => said.ack_timeouts += 1,
                }
                if now() >= end {
                    break;
                }
                let seq = said.sent;
                tx.text(template.stamp(mark(seq, now()), id(seq))).await?;
                said.sent += 1;
            }
            return Ok(());
        }
        // Open loop. The senders take turns, evenly spaced.
        let all = (self.rooms * self.senders) as f64;
        let due = |k: u32| start + ((k as f64 * all + s as f64) / talk.rate * 1e9) as u64;
        let give_up = end + GRACE.as_nanos() as u64;
        for k in 0.. {
            let at = due(k);
            if at >= end {
                break;
            }
            timer.until(at).await?;
            let t = now();
            if t > give_up {
                said.unsent = (k..).take_while(|&k| due(k) < end).count() as u64;
                break;
            }
            lag.lock().add(t - at);
            // Marked with the time that it was due, not the time that it went
            // out: a server that blocks the sender does not hide its delay.
            tx.text(template.stamp(mark(k, at), id(k))).await?;
            said.sent += 1;
        }
        Ok(())
    }
}

#[derive(Default)]
struct Said {
    sent: u32,
    unsent: u64,
    ack_timeouts: u64,
    /// Its connection failed, or took no more.
    broken: u64,
}
