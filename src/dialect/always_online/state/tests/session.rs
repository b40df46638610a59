//! A session in a test: it has a state and nothing else, and tells what that calls for in words.
use std::fmt::Write;

use serde_json::value::RawValue;

use super::*;
use crate::{
    dialect::always_online::wire::texts,
    metrics::{Event, Outcome},
};

/// Bytes that may come although reading has paused.
pub(super) const UNREAD: usize = 1 << 20;

/// A session without a socket, and what it calls for, in words.
pub(super) struct Session {
    pub(super) state: State,
    /// The task waits for an answer.
    pub(super) asking: bool,
    /// What was to be counted of events.
    pub(super) counted: Vec<(Event, Outcome)>,
}

pub(super) fn room(id: &str) -> Arc<Room> {
    Room::alone(RoomId::new(id).unwrap())
}

pub(super) fn ids<'a>(rooms: impl IntoIterator<Item = &'a Arc<Room>>) -> String {
    rooms.into_iter().map(|room| room.id.as_str()).collect::<Vec<_>>().join(" ")
}

pub(super) fn acked(ack: Option<i64>) -> String {
    ack.map_or_else(String::new, |id| format!(" ack {id}"))
}

pub(super) fn words_of_ask(ask: &Ask) -> String {
    match ask {
        Ask::SignIn { credentials, ack } => format!("sign in {}{}", credentials.uid, acked(*ack)),
        Ask::CheckAgain { credentials, ack } => {
            format!("check again {}{}", credentials.uid, acked(*ack))
        }
        Ask::Enter { uid, request, ack } => {
            let how = if request.dummy { " unseen" } else { "" };
            format!("enter {} as {uid}{how}{}", request.room, acked(*ack))
        }
        Ask::EnterAllowed { uid, request, ack } => {
            format!("enter {} as {uid} with consent{}", request.room, acked(*ack))
        }
        Ask::MaySend(message) => format!("may send to {}", message.room.id),
        Ask::ReadPage { room, request, ack } => {
            format!("read {} from {}{}", room.id, request.offset, acked(*ack))
        }
        Ask::SendPage(page) => format!("send {} bytes", page.frames.len()),
        Ask::Depart { uid, rooms, goodbye } => {
            let mut words = format!("end of {uid}");
            for (room, departure) in rooms {
                write!(words, ", {departure:?} {room}").unwrap();
            }
            if let Some(Goodbye { ack }) = goodbye {
                write!(words, ", goodbye{}", acked(*ack)).unwrap();
            }
            words
        }
    }
}

pub(super) fn words(effect: &Effect) -> String {
    match effect {
        Effect::Send(frames) => texts(frames).collect::<Vec<_>>().join(" + "),
        Effect::PauseReading => "pause".to_owned(),
        Effect::ResumeReading => "resume".to_owned(),
        Effect::Msg { target, argument, ack } => {
            let argument = argument.as_ref().map_or("nothing", |a| a.get());
            match target {
                Target::Nowhere => "msg nowhere".to_owned(),
                Target::Refused(failure) => format!("msg refused: {failure}{}", acked(*ack)),
                Target::Room { uid, room } => {
                    format!("msg {argument} of {uid} to {}{}", room.id, acked(*ack))
                }
            }
        }
        Effect::Post(Pending { uid, room, message, ack }) => {
            let body = String::from_utf8_lossy(&message.body);
            format!("post {body} of {uid} to {}{}", room.id, acked(*ack))
        }
        Effect::RefuseMsg { failure, by, ack } => {
            let by = by.as_ref().map_or_else(String::new, |by| format!(" by {}", by.message));
            format!("msg refused: {failure}{by}{}", acked(*ack))
        }
        Effect::Silence(rooms) => format!("silence {}", ids(rooms)),
        Effect::Release { room, uid } => format!("release {room} of {uid}"),
        Effect::TellSynced { room, uid } => format!("tell {} that {uid} syncs", room.id),
        Effect::CountPage => "count".to_owned(),
        Effect::Count(event, outcome) => format!("count {event:?} {outcome:?}"),
        Effect::Remind(Some(at)) => format!("remind at {at}"),
        Effect::LookForRevocation => "look for revocation".to_owned(),
        Effect::Remind(None) => "remind no more".to_owned(),
        Effect::AwaitJoin => "await join".to_owned(),
        Effect::Unregister => "unregister".to_owned(),
        Effect::Refuse(why) => format!("refuse: {}", why.label()),
        Effect::Drop(why) => format!("drop: {}", why.label()),
        Effect::DropLater(why) => format!("drop later: {}", why.label()),
        Effect::Start => "start".to_owned(),
        Effect::Ask(ask) => format!("ask: {}", words_of_ask(ask)),
    }
}

impl Session {
    /// Connected, and nobody yet.
    pub(super) fn guest() -> Self {
        Self::under(Rules::default())
    }

    /// As [`Session::guest`], with these rules.
    pub(super) fn under(rules: Rules) -> Self {
        let mut session = Session { state: State::new(rules), asking: false, counted: Vec::new() };
        assert!(session.state.connected().is_empty());
        session
    }

    /// Ann, for whom the rooms `a` and `b` are held.
    pub(super) fn authenticated() -> Self {
        let mut session = Self::guest();
        session.sends("authenticate", r#"{"uid":"ann"}"#, None);
        session.signed_in(&["a", "b"]);
        session
    }

    /// Ann in the room `a`, and then in `c`.
    pub(super) fn member() -> Self {
        let mut session = Self::authenticated();
        for id in ["a", "c"] {
            session.sends("join", &format!(r#"{{"roomId":"{id}"}}"#), None);
            session.entered(id, false);
        }
        session
    }

    /// Ann in the room `a`, and then in `c` as a dummy.
    pub(super) fn dummy() -> Self {
        let mut session = Self::member();
        session.sends("join", r#"{"roomId":"c","dummy":true}"#, None);
        session.entered("c", true);
        session
    }

    /// Refused.
    pub(super) fn ended() -> Self {
        let mut session = Self::guest();
        session.sends("authenticate", "{}", None);
        session
    }

    /// What an event calls for, until something is asked for that takes time.
    pub(super) fn happens(&mut self, event: impl FnOnce(&mut State) -> Vec<Effect>) -> Vec<String> {
        let effects = event(&mut self.state);
        let start = effects.iter().any(|effect| matches!(effect, Effect::Start));
        let mut all = self.noted(&effects);
        all.retain(|words| words != "start");
        if start {
            assert!(!self.asking, "a second task");
            all.extend(self.works());
        }
        all
    }

    /// What the task does, until it ends or asks.
    pub(super) fn works(&mut self) -> Vec<String> {
        let mut all = Vec::new();
        while !self.asking {
            let Some(effects) = self.state.next() else { break };
            all.extend(self.noted(&effects));
        }
        all
    }

    pub(super) fn noted(&mut self, effects: &[Effect]) -> Vec<String> {
        if let Some(at) = effects.iter().position(|effect| matches!(effect, Effect::Ask(_))) {
            assert_eq!(at, effects.len() - 1, "what takes time is the last");
            self.asking = true;
        }
        let (counts, others): (Vec<_>, Vec<_>) =
            effects.iter().partition(|effect| matches!(effect, Effect::Count(..)));
        self.counted.extend(counts.into_iter().filter_map(|count| match count {
            Effect::Count(event, outcome) => Some((*event, *outcome)),
            _ => None,
        }));
        others.into_iter().map(words).collect()
    }

    pub(super) fn sends(&mut self, name: &str, argument: &str, ack: Option<i64>) -> Vec<String> {
        let argument: Option<&RawValue> = serde_json::from_str(argument).ok();
        match Call::parse(name, argument) {
            Some(call) => self.asks_for(call, ack),
            None => Vec::new(),
        }
    }

    pub(super) fn asks_for(&mut self, call: Call, ack: Option<i64>) -> Vec<String> {
        self.happens(|state| state.receive(call, ack, 100, UNREAD))
    }

    pub(super) fn answered(&mut self, answer: Answer) -> Vec<String> {
        assert!(std::mem::replace(&mut self.asking, false), "nothing was asked for");
        let effects = self.state.answer(answer);
        let mut all = self.noted(&effects);
        all.extend(self.works());
        all
    }

    pub(super) fn signed_in(&mut self, held: &[&str]) -> Vec<String> {
        let held = held.iter().map(|id| RoomId::new(id).unwrap()).collect();
        let granted = Granted { rights: None, by_hook: Changes::default(), now: 1000 };
        let user = Ok((Uid::text("ann").unwrap(), held, granted));
        self.answered(Answer::SignedIn { user, ack: Some(1) })
    }

    pub(super) fn entered(&mut self, id: &str, dummy: bool) -> Vec<String> {
        self.answered(Answer::Entered { room: Some(room(id)), dummy })
    }

    /// A message is on its way to the room.
    pub(super) fn sent(&mut self) {
        assert!(!self.state.sent(100));
    }

    pub(super) fn settled(&mut self) -> Vec<String> {
        self.happens(|state| state.settled(1, 100, false))
    }
}
