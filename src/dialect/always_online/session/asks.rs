//! What a session asks of the core and of stores, and what takes time besides.
use std::sync::Arc;

use tokio::time::Instant;

use super::Session;
use crate::{
    dialect::always_online::{
        authenticate::{Authentication, Granted, NotSignedIn},
        state::{Answer, Ask, Denied},
        sync::Page,
        wire::{self, JoinFailure, JoinRequest},
    },
    domain::{
        ids::{RoomId, Uid},
        presence::{Departure, Visitor},
        quota::Excess,
    },
    throttle::throttled,
};

impl Session {
    pub(super) async fn ask(self: &Arc<Self>, ask: Ask) -> Answer {
        let hub = &self.dialect.hub;
        match ask {
            Ask::SignIn { credentials, ack } => {
                let register = || hub.register(self.id, self.clone());
                let authentication = Authentication::of(&self.dialect, self.address);
                let ask =
                    async |granted: &Granted| self.may_connect(&credentials.uid, granted).await;
                let begun = Instant::now();
                let user =
                    authentication.sign_in(&credentials, self.id, &self.name, ask, register).await;
                hub.metrics.sign_ins.seconds.took(begun.elapsed());
                let user = match user {
                    Ok((held, granted)) => {
                        if let Some(life) = &self.life {
                            life.signed_in(&credentials.uid);
                        }
                        Ok((credentials.uid, held, granted))
                    }
                    Err(NotSignedIn::Refused(refusal)) => Err(refusal),
                    Err(NotSignedIn::Denied(by)) => {
                        return Answer::Denied { what: Denied::Connect, by, ack };
                    }
                };
                Answer::SignedIn { user, ack }
            }
            Ask::CheckAgain { credentials, ack } => self.check_again(&credentials, ack).await,
            Ask::MaySend(message) => self.may_send(message).await,
            Ask::Enter { uid, request, ack } => match self.is_within_quotas(&request.room) {
                Err(why) => Answer::NotEntered { why, ack },
                Ok(()) if self.is_asked_before(&request) => self.may_enter(uid, request, ack).await,
                Ok(()) => self.enter(uid, request, ack).await,
            },
            Ask::EnterAllowed { uid, request, ack } => self.enter(uid, request, ack).await,
            Ask::ReadPage { .. } if !self.socket.is_open() => Answer::PageUnwanted,
            Ask::ReadPage { room, request, ack } => {
                let begun = Instant::now();
                match self.dialect.page(&room, &request, ack).await {
                    Some(page) => {
                        hub.metrics.messages.page_seconds.took(begun.elapsed());
                        Answer::PageRead { page, request }
                    }
                    None => Answer::PageFailed,
                }
            }
            Ask::SendPage(page) => self.send_page(page).await,
            Ask::Depart { uid, rooms, goodbye } => {
                self.depart(&uid, rooms).await;
                Answer::Departed { goodbye }
            }
        }
    }

    /// Whether it may enter the room as far as limits are concerned.
    fn is_within_quotas(&self, room: &RoomId) -> Result<(), JoinFailure> {
        let mut state = self.state();
        let rooms = state.rooms_beside(room);
        let entered = self.dialect.hub.may_enter(room, rooms, &mut state.used);
        entered.map_err(|excess| match excess {
            Excess::Joins => JoinFailure::TooOften,
            Excess::NewRooms => JoinFailure::TooManyNew,
            Excess::Rooms => JoinFailure::TooManyRooms,
        })
    }

    /// Enters a room. Its client is answered while the room delivers nothing.
    async fn enter(
        self: &Arc<Self>,
        uid: Uid,
        JoinRequest { room, dummy }: JoinRequest,
        ack: Option<i64>,
    ) -> Answer {
        let visitor = Visitor {
            connection: self.id,
            uid,
            hidden: dummy,
            wants_roster: true,
            guest: false,
            socket: None,
            checked: None,
        };
        let session = self.clone();
        let answer = Box::new(move |roster: &Result<_, _>| {
            session.send(match roster {
                Ok(roster) => wire::welcome(roster, ack),
                Err(_) => wire::answer("join", ack, JoinFailure::Server.answer()),
            });
        });
        let room = self.dialect.hub.enter(&room, visitor, self.clone(), answer).await;
        Answer::Entered { room, dummy }
    }

    /// Sends a page, and returns when the client has it, nearly, or is gone.
    async fn send_page(&self, Page { frames, mut patience }: Page) -> Answer {
        let late = async {
            match &mut patience {
                Some(patience) => patience.over().await,
                None => std::future::pending().await,
            }
        };
        self.count(&frames);
        tokio::select! {
            () = self.socket.send_large(frames) => Answer::PageSent,
            () = late => Answer::PageLate,
        }
    }

    async fn depart(&self, uid: &Uid, rooms: Vec<(RoomId, Departure)>) {
        let hub = &self.dialect.hub;
        for (room, departure) in rooms {
            let _ = hub.depart(&room, self.id, departure).await; // a failure is in the log
        }
        if let Err(error) = hub.end_session(uid, self.id).await {
            throttled!(warn, %error, "a session could not be ended");
        }
        hub.unregister(self.id);
    }
}
