//! What a user is reached by besides: e-mail addresses, which are confirmed by a code.
//!
//! A code has six digits, and of a user there is one at a time. It can be tried ten times, and
//! neither asking for another one nor giving the address up gives further tries: after ten that were
//! wrong there is a day's rest. So many codes a day are sent to one address, whoever asks for them:
//! new accounts give few further tries, and nobody's mailbox is filled.
//! An address is a user's own from its confirmation on (`email:ADDRESS` among the logins), so that
//! nobody takes it away from others by naming it.
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::{
    Tinode,
    cabinet::{Step, TRIES, crowded},
    ids::UserId,
    mail,
    message::{Code, Params, Ts},
    rate::{self, Act},
    record::{CODES, CodeRecord, CredRecord, LOGINS, LoginRecord, User},
    refusal::{Done, Refusal},
    request::Cred,
    session::{Identity, Session},
};
use crate::{
    domain::{
        clock::{NoRandomness, Rng},
        records::Expect,
        secret::equal,
    },
    hex,
    throttle::throttled,
};

/// The one method that is known.
pub(super) const EMAIL: &str = "email";
/// How long a code is good, seconds.
pub(super) const GOOD: u64 = 24 * 60 * 60;
/// How often a code may be tried.
const MOST_TRIES: u32 = 10;
/// How often a code is sent within a day: to a user, and to an address.
const MOST_SENT: u32 = 10;
const MOST_SENT_TO: u32 = 30;
/// Codes: six digits.
const CODES_THERE_ARE: u32 = 1_000_000;
/// Credentials of one user.
const MOST: usize = 8;

fn code_id(user: UserId) -> String {
    format!("{user}/{EMAIL}")
}

fn login_id(val: &str) -> String {
    format!("{EMAIL}:{val}")
}

/// A refusal that says what it is about.
pub(super) fn about(code: Code, what: &str) -> Refusal {
    Refusal { code, params: Params::what(what) }
}

/// A new code, each equally likely.
fn new_code(rng: &dyn Rng) -> Result<String, NoRandomness> {
    let below = u32::MAX - u32::MAX % CODES_THERE_ARE;
    loop {
        let mut bytes = [0; 4];
        rng.fill(&mut bytes)?;
        let number = u32::from_le_bytes(bytes);
        if number < below {
            return Ok(format!("{:06}", number % CODES_THERE_ARE));
        }
    }
}

/// What is kept of a code.
fn digest(user: UserId, val: &str, code: &str) -> String {
    hex::encode(&Sha256::digest(format!("{user}\0{val}\0{code}")))
}

/// The address that a credential names, as it is kept.
///
/// # Errors
/// It names none, or is none of those that can be confirmed here.
pub(super) fn address(node: &Tinode, cred: &Cred<'_>) -> Done<String> {
    if cred.method != EMAIL {
        return Err(Code::Malformed.into());
    }
    if !node.mailer.can_send(&*node.caller) {
        return Err(Code::NotAllowed.into());
    }
    mail::address(&cred.value).ok_or_else(|| about(Code::Policy, "cred"))
}

/// Those that come with a sign-in and can be confirmed here: none, where no code can be sent.
/// Clients that offer an address nonetheless get in without.
pub(super) fn of_use<'a, 'c>(node: &Tinode, creds: &'a [Cred<'c>]) -> &'a [Cred<'c>] {
    if node.mailer.can_send(&*node.caller) { creds } else { &[] }
}

/// Whether somebody else than `user` has shown that the address is its own.
///
/// # Errors
/// The store does not answer.
pub(super) async fn is_taken(node: &Tinode, user: Option<UserId>, val: &str) -> Done<bool> {
    let Some(read) = node.cabinet.login(&login_id(val)).await? else { return Ok(false) };
    if Some(read.record.user) == user {
        return Ok(false);
    }
    let other = node.cabinet.user(read.record.user).await?;
    Ok(other.is_some_and(|other| other.record.has_shown(EMAIL, val)))
}

/// Sends a code to the address that a credential names, unless it is the user's already. `lang`:
/// the language of its client.
///
/// # Errors
/// It is no address, or somebody else's, or too many codes were wrong; or it can't be sent now.
pub(super) async fn begin(node: &Tinode, user: UserId, cred: &Cred<'_>, lang: &str) -> Done<()> {
    let val = address(node, cred)?;
    if is_taken(node, Some(user), &val).await? {
        return Err(about(Code::DuplicateCredential, "cred"));
    }
    let now = Ts(node.hub.clock.unix_ms());
    let wanted = |user: &mut User| want(user, &val, now);
    if !node.cabinet.change_user(user, wanted).await? {
        return Ok(());
    }
    let code = new_code(&*node.hub.rng)?;
    keep(node, user, &val, digest(user, &val, &code)).await?;
    count_sent(node, &val).await?;
    match node.mailer.send_code(&*node.caller, &val, &code, lang).await {
        true => Ok(()),
        false => Err(Code::Unavailable.into()),
    }
}

/// Notes an address that is to be confirmed; false: it is already. Another one that was not is
/// given up.
fn want(user: &mut User, val: &str, now: Ts) -> Done<Step<bool>> {
    if user.has_shown(EMAIL, val) {
        return Ok(Step::Keep(false));
    }
    if user.creds.iter().any(|cred| cred.meth == EMAIL && cred.val == val) {
        return Ok(Step::Keep(true));
    }
    user.creds.retain(|cred| cred.done || cred.meth != EMAIL);
    if user.creds.len() >= MOST {
        return Err(about(Code::Policy, "cred"));
    }
    user.creds.push(CredRecord { meth: EMAIL.to_owned(), val: val.to_owned(), done: false });
    user.updated = now;
    Ok(Step::Write(true))
}

/// Keeps a code instead of the one before. How often that was tried counts on.
async fn keep(node: &Tinode, user: UserId, val: &str, digest: String) -> Done<()> {
    let (id, until) = (code_id(user), node.hub.clock.unix() + GOOD);
    for _ in 0..TRIES {
        let read = node.cabinet.get::<CodeRecord>(&CODES, &id).await?;
        let (tries, sent) =
            read.as_ref().map_or((0, 0), |read| (read.record.tries, read.record.sent));
        if tries >= MOST_TRIES || sent >= MOST_SENT {
            return Err(about(Code::Policy, "cred"));
        }
        let expect = read.map_or(Expect::New, |read| Expect::Version(read.version));
        let (val, digest) = (val.to_owned(), digest.clone());
        let code = CodeRecord { val, digest, tries, sent: sent + 1 };
        if node.cabinet.put(&CODES, &id, code.body(), expect, Some(until)).await?.is_some() {
            return Ok(());
        }
    }
    Err(crowded())
}

/// Counts that a code is sent to an address.
///
/// # Errors
/// It was sent too many within a day.
async fn count_sent(node: &Tinode, val: &str) -> Done<()> {
    let id = login_id(val);
    for _ in 0..TRIES {
        let found = node.cabinet.records.get(&CODES, &id).await?;
        let sent = found.as_ref().and_then(|found| serde_json::from_slice(&found.body).ok());
        let sent = sent.map_or(0, |sent: CodeRecord| sent.sent);
        if sent >= MOST_SENT_TO {
            return Err(about(Code::Policy, "cred"));
        }
        let none = String::new;
        let count = CodeRecord { val: none(), digest: none(), tries: 0, sent: sent + 1 };
        let (expect, until) = match found {
            Some(found) => (Expect::Version(found.version), found.expires_at),
            None => (Expect::New, Some(node.hub.clock.unix() + GOOD)),
        };
        if node.cabinet.put(&CODES, &id, count.body(), expect, until).await?.is_some() {
            return Ok(());
        }
    }
    Err(crowded())
}

/// A code that was sent counts no more. How often it was tried and sent does.
async fn void(node: &Tinode, user: UserId) -> Done<()> {
    let id = code_id(user);
    for _ in 0..TRIES {
        let Some(found) = node.cabinet.records.get(&CODES, &id).await? else { return Ok(()) };
        let Ok(code) = serde_json::from_slice::<CodeRecord>(&found.body) else { return Ok(()) };
        // No code has this digest.
        let code = CodeRecord { val: String::new(), digest: String::new(), ..code };
        let (expect, until) = (Expect::Version(found.version), found.expires_at);
        if node.cabinet.put(&CODES, &id, code.body(), expect, until).await?.is_some() {
            return Ok(());
        }
    }
    Err(crowded())
}

/// Confirms a credential by its response; false: that is not the code that was sent. Each call is a
/// try, and of those that come at once each counts.
///
/// # Errors
/// It is none that can be confirmed, or somebody else has it by now; or the store does not answer.
pub(super) async fn confirm(node: &Tinode, user: UserId, cred: &Cred<'_>) -> Done<bool> {
    if cred.method != EMAIL {
        return Err(Code::Malformed.into());
    }
    let Some(code) = begin_try(node, user).await? else { return Ok(false) };
    let is_meant = cred.value.is_empty() || mail::address(&cred.value).as_ref() == Some(&code.val);
    let shown = digest(user, &code.val, cred.response.trim());
    if !equal(shown.as_bytes(), code.digest.as_bytes()) || !is_meant {
        return Ok(false);
    }
    claim(node, user, &code.val).await?;
    let now = Ts(node.hub.clock.unix_ms());
    node.cabinet.change_user(user, |user| Ok(shown_by(user, &code.val, now))).await?;
    node.cabinet.records.delete(&CODES, &code_id(user), None).await?;
    Ok(true)
}

/// Counts a try, and returns the code. None: there is none, or it was tried too often.
async fn begin_try(node: &Tinode, user: UserId) -> Done<Option<CodeRecord>> {
    let id = code_id(user);
    for _ in 0..TRIES {
        let Some(found) = node.cabinet.records.get(&CODES, &id).await? else { return Ok(None) };
        let Ok(mut code) = serde_json::from_slice::<CodeRecord>(&found.body) else {
            throttled!(error, id, "the record of a code can't be read");
            return Err(Code::Internal.into());
        };
        if code.tries >= MOST_TRIES {
            return Ok(None);
        }
        code.tries += 1;
        let (expect, until) = (Expect::Version(found.version), found.expires_at);
        if node.cabinet.put(&CODES, &id, code.body(), expect, until).await?.is_some() {
            return Ok(Some(code));
        }
    }
    Err(crowded())
}

/// Makes an address the user's own. A login that was left behind by somebody who has it no more, or
/// is no more, gives way.
async fn claim(node: &Tinode, user: UserId, val: &str) -> Done<()> {
    let (id, own) = (login_id(val), LoginRecord { user, hash: None });
    for _ in 0..TRIES {
        if node.cabinet.add_login(&id, &own).await? {
            return Ok(());
        }
        let Some(read) = node.cabinet.login(&id).await? else { continue };
        if read.record.user == user {
            return Ok(());
        }
        if is_taken(node, Some(user), val).await? {
            return Err(about(Code::DuplicateCredential, "cred"));
        }
        if node.cabinet.replace_login(&id, &own, read.version).await? {
            return Ok(());
        }
    }
    Err(crowded())
}

/// The user has shown that this is its address.
fn shown_by(user: &mut User, val: &str, now: Ts) -> Step<()> {
    user.creds.retain(|cred| cred.meth != EMAIL || cred.val != val);
    user.creds.push(CredRecord { meth: EMAIL.to_owned(), val: val.to_owned(), done: true });
    let tag = login_id(val);
    if !user.tags.contains(&tag) {
        user.tags.push(tag);
    }
    user.updated = now;
    Step::Write(())
}

/// The methods that are required and that the user has confirmed nothing of.
pub(super) fn missing(required: &[String], user: &User) -> Vec<String> {
    let has = |meth: &str| user.creds.iter().any(|cred| cred.done && cred.meth == meth);
    required.iter().filter(|meth| !has(meth)).cloned().collect()
}

/// `set` of `me` with a credential: with a response it is confirmed, else a code is sent.
pub(super) async fn set(session: &Arc<Session>, who: Identity, id: &str, cred: &Cred<'_>) {
    match set_now(session, who, cred).await {
        Ok(true) => session.ctrl(id, "me", Code::Ok),
        Ok(false) => session.ctrl(id, "me", Code::AuthFailed),
        Err(why) => session.refuse(id, "me", why),
    }
}

async fn set_now(session: &Arc<Session>, who: Identity, cred: &Cred<'_>) -> Done<bool> {
    rate::admit(session, Act::Register)?;
    if !cred.response.is_empty() {
        return confirm(&session.node, who.user, cred).await;
    }
    let hello = session.hello();
    let lang = hello.as_ref().map_or("", |hello| &hello.lang);
    begin(&session.node, who.user, cred, lang).await.map(|()| true)
}

/// `del` of a credential.
pub(super) async fn del(session: &Arc<Session>, who: Identity, id: &str, cred: &Cred<'_>) {
    match del_now(&session.node, who.user, cred).await {
        Ok(()) => session.ctrl(id, "me", Code::Ok),
        Err(why) => session.refuse(id, "me", why),
    }
}

async fn del_now(node: &Tinode, user: UserId, cred: &Cred<'_>) -> Done<()> {
    if cred.method.is_empty() || cred.value.is_empty() {
        return Err(Code::Malformed.into());
    }
    let val = cred.value.trim().to_lowercase();
    let now = Ts(node.hub.clock.unix_ms());
    let required = &node.options.required;
    let take = |user: &mut User| take(user, &cred.method, &val, required, now);
    if !node.cabinet.change_user(user, take).await? {
        return void(node, user).await;
    }
    // Where this is not reached the address is somebody else's as soon as it is confirmed.
    let login = node.cabinet.login(&login_id(&val)).await?;
    if let Some(own) = login.filter(|login| login.record.user == user) {
        node.cabinet.records.delete(&LOGINS, &login_id(&val), Some(own.version)).await?;
    }
    Ok(())
}

/// Takes a credential from a user. Whether it was confirmed.
fn take(user: &mut User, meth: &str, val: &str, required: &[String], now: Ts) -> Done<Step<bool>> {
    let is_it = |cred: &CredRecord| cred.meth == meth && cred.val == val;
    let Some(at) = user.creds.iter().position(is_it) else { return Err(Code::NoAction.into()) };
    let taken = user.creds.remove(at);
    if taken.done && missing(required, user).iter().any(|missing| missing == meth) {
        return Err(Code::Policy.into());
    }
    if taken.done {
        let tag = format!("{meth}:{val}");
        user.tags.retain(|other| *other != tag);
    }
    user.updated = now;
    Ok(Step::Write(taken.done))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::{dialect::tinode::mode::Level, lock::lock};

    /// Gives these numbers, one after the other.
    struct Given(Mutex<Vec<u32>>);

    impl Rng for Given {
        fn fill(&self, bytes: &mut [u8]) -> Result<(), NoRandomness> {
            let number = lock(&self.0).pop().ok_or_else(|| NoRandomness("none".into()))?;
            bytes.copy_from_slice(&number.to_le_bytes());
            Ok(())
        }
    }

    fn user() -> User {
        User::new(UserId::of_number(1).unwrap(), Level::Auth, Ts(1))
    }

    fn code(done: &Done<Step<bool>>) -> Option<Code> {
        done.as_ref().err().map(|why| why.code)
    }

    #[test]
    fn a_code_has_six_digits_each_of_which_is_as_likely() {
        for (mut numbers, code) in [
            (vec![0], "000000"),
            (vec![1_000_042], "000042"),
            (vec![4_293_999_999], "999999"),
            (vec![4_294_000_000, u32::MAX, 7], "000007"),
        ] {
            numbers.reverse();
            let given = Given(Mutex::new(numbers));
            assert_eq!(new_code(&given).unwrap(), code);
            assert!(new_code(&given).is_err());
        }
    }

    #[test]
    fn what_is_kept_of_a_code_is_another_one_for_each_user_and_address() {
        let [ann, bob] = [1, 2].map(|number| UserId::of_number(number).unwrap());
        let kept = digest(ann, "a@b", "000042");
        assert_eq!((kept.len(), &kept), (64, &digest(ann, "a@b", "000042")));
        for other in [
            digest(bob, "a@b", "000042"),
            digest(ann, "b@b", "000042"),
            digest(ann, "a@b", "000043"),
        ] {
            assert_ne!(kept, other);
        }
    }

    #[test]
    fn one_address_is_waited_for_and_those_that_were_shown_stay() {
        let mut ann = user();
        for val in ["a@b", "c@d"] {
            assert!(matches!(want(&mut ann, val, Ts(2)), Ok(Step::Write(true))));
            assert!(matches!(want(&mut ann, val, Ts(2)), Ok(Step::Keep(true))));
        }
        assert_eq!(ann.creds.len(), 1);
        shown_by(&mut ann, "c@d", Ts(3));
        assert!(matches!(want(&mut ann, "c@d", Ts(4)), Ok(Step::Keep(false))));
        assert!(matches!(want(&mut ann, "e@f", Ts(4)), Ok(Step::Write(true))));
        assert_eq!((&*ann.tags, ann.creds.len()), (&["email:c@d".to_owned()][..], 2));
        for number in 0..MOST {
            shown_by(&mut ann, &format!("{number}@x"), Ts(5));
        }
        assert_eq!(code(&want(&mut ann, "y@x", Ts(6))), Some(Code::Policy));
    }

    #[test]
    fn what_is_required_and_was_not_shown_is_missing() {
        let (required, mut ann) = ([EMAIL.to_owned()], user());
        assert_eq!(missing(&required, &ann), required);
        assert!(missing(&[], &ann).is_empty());
        assert!(want(&mut ann, "a@b", Ts(2)).is_ok());
        assert_eq!(missing(&required, &ann), required, "it is not confirmed");
        shown_by(&mut ann, "a@b", Ts(2));
        assert!(missing(&required, &ann).is_empty());
    }

    #[test]
    fn the_last_one_that_is_required_stays() {
        let required = [EMAIL.to_owned()];
        let mut ann = user();
        shown_by(&mut ann, "a@b", Ts(2));
        assert_eq!(
            code(&take(&mut ann.clone(), EMAIL, "x@y", &required, Ts(3))),
            Some(Code::NoAction)
        );
        assert_eq!(
            code(&take(&mut ann.clone(), EMAIL, "a@b", &required, Ts(3))),
            Some(Code::Policy)
        );
        let mut free = ann.clone();
        assert!(matches!(take(&mut free, EMAIL, "a@b", &[], Ts(3)), Ok(Step::Write(true))));
        assert!(free.tags.is_empty() && free.creds.is_empty());
        shown_by(&mut ann, "c@d", Ts(4));
        assert!(matches!(take(&mut ann, EMAIL, "a@b", &required, Ts(5)), Ok(Step::Write(true))));
        assert_eq!(ann.tags, ["email:c@d"]);
        assert!(want(&mut ann, "e@f", Ts(6)).is_ok());
        assert!(matches!(take(&mut ann, EMAIL, "e@f", &required, Ts(7)), Ok(Step::Write(false))));
    }
}
