//! When a session's token expires, and what is to be said of it before. Times are Unix seconds.

/// The client is told so long before.
const NOTICE: u64 = 60;
/// How long a session's end waits for a renewal that came before it and whose turn has not come.
const TURN: u64 = 30;

/// The times of one token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Expiry {
    at: u64,
    /// The client is told then, unless it was.
    notice: Option<u64>,
    /// Without another token the session ends.
    end: u64,
}

/// What is to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// Nothing, until then.
    Wait(u64),
    /// The client is to be told that its token expires in so many seconds.
    Tell(u64),
    /// The session's time is over.
    Over,
}

impl Expiry {
    /// Of a token that is presented now. The client is told a minute before it expires, or when half
    /// of its time is over if that is later. Grace begins with the expiry, or now where that was
    /// within the leeway of clocks.
    pub fn new(at: u64, now: u64, grace: u64) -> Self {
        let left = at.saturating_sub(now);
        Expiry {
            at,
            notice: Some(at - NOTICE.min(left / 2).min(at)),
            end: at.max(now).saturating_add(grace),
        }
    }

    /// Whether it is of a token that expires at this time.
    pub fn is_of(&self, at: u64) -> bool {
        self.at == at
    }

    /// When the session ends also where a renewal waits to be checked.
    pub fn last(&self) -> u64 {
        self.end.saturating_add(TURN)
    }

    /// When there is something to be done next.
    pub fn next(&self) -> u64 {
        self.notice.map_or(self.end, |notice| notice.min(self.end))
    }

    /// What is to be done now. Whoever is told something is told it once.
    pub fn due(&mut self, now: u64) -> Due {
        match self.notice {
            _ if now >= self.end => Due::Over,
            Some(notice) if now >= notice => {
                self.notice = None;
                Due::Tell(self.at.saturating_sub(now))
            }
            _ => Due::Wait(self.next()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_told_once_in_time_and_has_its_grace() {
        for (at, notice, end) in [
            (4600, 4540, 4625), // an hour
            (1100, 1050, 1125), // less than two minutes: half of it
            (1001, 1001, 1026),
            (1000, 1000, 1025),
            (980, 980, 1025), // expired, within the leeway
        ] {
            let mut expiry = Expiry::new(at, 1000, 25);
            if notice > 1000 {
                assert_eq!(expiry.due(1000), Due::Wait(notice), "{at}");
            }
            let told = notice.max(1000);
            assert_eq!(expiry.due(told), Due::Tell(at.saturating_sub(told)), "{at}");
            assert_eq!(expiry.due(told), Due::Wait(end), "{at}");
            assert_eq!(expiry.due(end), Due::Over, "{at}");
        }
        let mut late = Expiry::new(1010, 1000, 0);
        assert_eq!(late.due(5000), Due::Over, "it was never told, and it is too late for that");
    }
}
