//! What is counted of the node itself: whether it is of use, who is there, what failed.
use super::{
    family::{Family, each},
    process,
    text::group,
    value::{Counter, Gauge, Latency},
    words::{Beat, SIGN_IN_REFUSALS, SignIn},
};

group! {
    /// Sign-ins.
    "Sign-ins" SignIns {
        done: Family<Counter, 1> = Family::new(["kind"], Counter::default, each(SignIn::WORDS)),
            "always_online_sign_ins", "Users that signed in, by the kind of their token.";
        refused: Family<Counter, 1> = Family::new(
            ["reason"], Counter::default, each(SIGN_IN_REFUSALS)
        ),
            "always_online_refused_sign_ins",
            "Tokens that were not accepted, at a sign-in or a renewal, by reason; `too many failures`: \
             those that were not looked at, of administrators too.";
        seconds: Latency = Latency::new(
            &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0]
        ),
            "always_online_sign_in_seconds",
            "How long sign-ins took, those that were refused too, with what a hook was asked.";
    }
}

/// The version, as a metric: its value is always 1.
fn build() -> Family<Gauge, 1> {
    let build = Family::open(["version"], Gauge::default, "the version");
    build.with([env!("CARGO_PKG_VERSION")], |gauge: &Gauge| gauge.set(1));
    build
}

group! {
    /// The node.
    "The node" Node {
        build: Family<Gauge, 1> = build(),
            "always_online_build_info", "1, with the version that runs.";
        ready: Gauge = Gauge::default(),
            "always_online_ready",
            "1 if the node should be sent clients, as /readyz says; 0 also if that can't be \
             learnt within a second.";
        draining: Gauge = Gauge::default(),
            "always_online_draining",
            "1 while the node sends its clients elsewhere as it was told to, and while it ends.";
        users: Gauge = Gauge::default(),
            "always_online_users",
            "Users that are signed in on this node; none of chat-service, whose users may have many \
             connections.";
        rooms: Gauge = Gauge::default(),
            "always_online_rooms",
            "Rooms with members on this node, or with something to be done; no inboxes of \
             chat-service.";
        members: Gauge = Gauge::default(),
            "always_online_members", "Memberships of connections of this node in rooms.";
        nodes: Gauge = Gauge::default(),
            "always_online_nodes",
            "Nodes that are alive, as this one sees it; looked at every ten seconds.";
        beats: Family<Counter, 1> = Family::new(["outcome"], Counter::default, each(Beat::WORDS)),
            "always_online_lease_renewals",
            "Signs of life of this node, by what became of them; none on the embedded store.";
        dead_nodes: Counter = Counter::default(),
            "always_online_dead_nodes",
            "Nodes that were found dead, and whose clients this node told rooms of.";
        unanswered: Counter = Counter::default(),
            "always_online_unanswered_nodes",
            "Questions and words of nodes that this one did nothing about: they were too many at \
             once.";
        restarts: Family<Counter, 1> = Family::open(
            ["task"], Counter::default, "a task that must live, such as `pulse` or `certificates`"
        ),
            "always_online_task_restarts",
            "Tasks that must live, panicked, and were started again, by task.";
        panics: &'static Counter = &process::counted().panics,
            "always_online_panics", "Panics: defects of the server.";
        log_lines_lost: &'static Counter = &process::counted().log_lines_lost,
            "always_online_log_lines_lost", "Lines of the log that could not be written.";
        spans_lost: &'static Counter = &process::counted().spans_lost,
            "always_online_spans_lost",
            "Spans of traces that were not sent, or that the collector refused.";
    }
}

impl Node {
    /// A sign of life was given, or was not.
    pub fn beat(&self, outcome: Beat) {
        self.beats.at(outcome as usize).inc();
    }
}
