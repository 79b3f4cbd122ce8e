//! TCP sessions from a process to its successor: the letters of `dataplane::transfer` between the control threads of both, on
//! a channel that comes with the one for idle connections (`bequest`). The successor says that it is there; from then on,
//! and once this process has been told to leave, sessions are offered with their sockets:
//!
//! ```text
//! successor: here
//! this one:  offer 7 …        what is known of the session, with two descriptors
//! successor: taken 7          it is prepared there; or `later 7`, `never 7`
//! this one:  go 7             it begins there and ends here; or `no 7`, since it was withdrawn meanwhile
//! ```
//!
//! Where the channel breaks before `go` has left, the session goes on here.

use super::supervise::Control;
use crate::base::slab::Key;
use crate::dataplane::transfer::account::BYTES_MAX;
use crate::dataplane::transfer::{Message, Offer, Outcome};
use crate::dataplane::worker::Mail;
use crate::engine::{handover, process};
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;

const HERE: &str = "here";
const OFFER: &str = "offer";
const GO: &str = "go";
const NO: &str = "no";
const ANSWERS: [(Outcome, &str); 3] =
    [(Outcome::Taken, "taken"), (Outcome::Later, "later"), (Outcome::Never, "never")];
/// Bytes of the first line of a message at most.
const HEAD_MAX: usize = 64;

/// Who takes sessions from here, and who gives them to us.
#[derive(Default)]
pub struct Transfers {
    heir: RefCell<Option<Rc<Wire>>>,
    /// It has said that it is there.
    heir_is_here: Cell<bool>,
    number: Cell<u64>,
    /// Offers without an answer: the worker, and its key.
    offered: RefCell<HashMap<u64, (usize, Key)>>,
    former: RefCell<Option<Rc<Wire>>>,
    /// Sessions that came and do not run yet, and their workers.
    arriving: RefCell<HashMap<u64, usize>>,
}

/// One end of a channel, with what waits to be sent.
struct Wire {
    channel: OwnedFd,
    out: RefCell<VecDeque<Letter>>,
    sending: Cell<bool>,
}

struct Letter {
    text: String,
    sockets: Option<[OwnedFd; 2]>,
    /// The offer that it is or is about.
    number: u64,
    /// Whose session has gone once it is sent.
    lets_go: Option<(usize, Key)>,
}

impl Letter {
    fn new(word: &str, number: u64) -> Letter {
        Letter { text: format!("{word} {number}\n"), sockets: None, number, lets_go: None }
    }
}

fn tell(control: &Control, worker: usize, message: Message) {
    control.tell(worker, Mail::Transfer(message));
}

/// A letter has come from a worker.
pub fn receive(control: &Rc<Control>, worker: usize, message: Message) {
    let transfers = &control.transfers;
    match message {
        Message::Offer(key, offer) => {
            let Some(heir) = transfers.heir.borrow().clone() else {
                return tell(control, worker, Message::Decided(key, Outcome::Later));
            };
            let number = transfers.number.get() + 1;
            transfers.number.set(number);
            transfers.offered.borrow_mut().insert(number, (worker, key));
            let mut letter = Letter::new(OFFER, number);
            letter.text.push_str(&offer.account);
            letter.sockets = Some(offer.sockets);
            send(control, &heir, letter);
        }
        Message::Withdraw(key) => {
            let mut offered = transfers.offered.borrow_mut();
            // Else it has been decided, and its worker will hear.
            let Some(number) = offered.iter().find(|(_, whose)| **whose == (worker, key)).map(|(n, _)| *n) else {
                return;
            };
            offered.remove(&number);
            drop(offered);
            tell(control, worker, Message::Decided(key, Outcome::Later));
            let Some(heir) = transfers.heir.borrow().clone() else { return };
            let unsent = heir.out.borrow().iter().position(|letter| letter.number == number);
            match unsent {
                Some(at) => drop(heir.out.borrow_mut().remove(at)),
                None => send(control, &heir, Letter::new(NO, number)),
            }
        }
        Message::Prepared(number, outcome) => {
            if outcome != Outcome::Taken {
                transfers.arriving.borrow_mut().remove(&number);
            }
            let Some(former) = transfers.former.borrow().clone() else {
                return tell(control, worker, Message::Settled(number, false));
            };
            let word = ANSWERS.iter().find(|(o, _)| *o == outcome).map_or(NO, |(_, word)| word);
            send(control, &former, Letter::new(word, number));
        }
        Message::Decided(..) | Message::Heir(_) | Message::Offered(..) | Message::Settled(..) => {}
    }
}

fn send(control: &Rc<Control>, wire: &Rc<Wire>, letter: Letter) {
    wire.out.borrow_mut().push_back(letter);
    if !wire.sending.replace(true) {
        control.rt.spawn(send_all(control.clone(), wire.clone()));
    }
}

async fn send_all(control: Rc<Control>, wire: Rc<Wire>) {
    let channel = wire.channel.as_raw_fd();
    loop {
        let Some(letter) = wire.out.borrow_mut().pop_front() else { break };
        let fds: Vec<_> = letter.sockets.iter().flatten().map(AsRawFd::as_raw_fd).collect();
        let outcome = match handover::send(channel, letter.text.as_bytes(), &fds) {
            Ok(_) => Outcome::Taken,
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                wire.out.borrow_mut().push_front(letter);
                let _ = control.rt.poll_fd(channel, libc::POLLOUT).await;
                continue;
            }
            // Whoever reads there has gone; the end of the channel says so too.
            Err(_) => Outcome::Later,
        };
        if let Some((worker, key)) = letter.lets_go {
            tell(&control, worker, Message::Decided(key, outcome));
        }
    }
    wire.sending.set(false);
}

/// Hands each message of the channel to `read`, text and descriptors, until its end or until that is false.
async fn listen(control: &Rc<Control>, wire: &Wire, mut read: impl FnMut(&str, Vec<OwnedFd>) -> bool) {
    let channel = wire.channel.as_raw_fd();
    let mut message = vec![0; HEAD_MAX + BYTES_MAX];
    loop {
        let _ = control.rt.poll_fd(channel, libc::POLLIN).await;
        let (n, fds) = match handover::receive(channel, &mut message) {
            Ok((0, _)) => return,
            Ok(received) => received,
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => continue,
            Err(_) => return,
        };
        let sockets = fds.into_iter().filter_map(process::inherited).collect();
        if !std::str::from_utf8(&message[..n]).is_ok_and(|text| read(text, sockets)) {
            return;
        }
    }
}

/// Word and number of a message's first line, and what follows it.
fn parse(text: &str) -> Option<(&str, u64, &str)> {
    let (head, rest) = text.split_once('\n')?;
    let (word, number) = head.split_once(' ')?;
    Some((word, number.parse().ok()?, rest))
}

fn wire(channel: OwnedFd) -> io::Result<Rc<Wire>> {
    rustix::io::ioctl_fionbio(&channel, true)?;
    Ok(Rc::new(Wire { channel, out: RefCell::default(), sending: Cell::new(false) }))
}

// ---- the old process ----

impl Transfers {
    fn is_heir(&self, wire: &Rc<Wire>) -> bool {
        self.heir.borrow().as_ref().is_some_and(|heir| Rc::ptr_eq(heir, wire))
    }
}

/// The process is to leave: sessions go to who follows, if it is there.
pub fn begin(control: &Control) {
    if control.transfers.heir_is_here.get() && control.accepts_no_more.get() {
        for worker in 0..control.shared.board.workers() {
            tell(control, worker, Message::Heir(true));
        }
    }
}

/// A successor has this channel. The last one gets the sessions.
pub fn open(control: &Rc<Control>, channel: OwnedFd) {
    let Ok(wire) = wire(channel) else { return };
    lose_heir(control);
    control.transfers.heir.replace(Some(wire.clone()));
    control.rt.spawn(hear_heir(control.clone(), wire));
}

async fn hear_heir(control: Rc<Control>, wire: Rc<Wire>) {
    let transfers = &control.transfers;
    listen(&control, &wire, |text, _| {
        if text.trim_end() == HERE && transfers.is_heir(&wire) {
            transfers.heir_is_here.set(true);
            begin(&control);
            return true;
        }
        let Some((word, number, _)) = parse(text) else { return false };
        let Some((outcome, _)) = ANSWERS.iter().find(|(_, answer)| *answer == word) else { return false };
        let whose = transfers.offered.borrow_mut().remove(&number);
        match (whose, outcome) {
            (Some(whose), Outcome::Taken) => {
                let letter = Letter { lets_go: Some(whose), ..Letter::new(GO, number) };
                send(&control, &wire, letter);
            }
            (Some((worker, key)), _) => tell(&control, worker, Message::Decided(key, *outcome)),
            // It was withdrawn, and the other one has been told so.
            (None, _) => {}
        }
        true
    })
    .await;
    if transfers.is_heir(&wire) {
        lose_heir(&control);
    }
}

/// Nobody takes sessions any more: those that are offered stay.
fn lose_heir(control: &Rc<Control>) {
    let transfers = &control.transfers;
    if transfers.heir.take().is_none() {
        return;
    }
    transfers.heir_is_here.set(false);
    for (_, (worker, key)) in transfers.offered.borrow_mut().drain() {
        tell(control, worker, Message::Decided(key, Outcome::Later));
    }
    for worker in 0..control.shared.board.workers() {
        tell(control, worker, Message::Heir(false));
    }
}

// ---- the new process ----

/// Takes the sessions that the former process gives, until it has gone.
pub async fn take(control: Rc<Control>, channel: OwnedFd) {
    let Ok(wire) = wire(channel) else { return };
    let transfers = &control.transfers;
    transfers.former.replace(Some(wire.clone()));
    if handover::send(wire.channel.as_raw_fd(), format!("{HERE}\n").as_bytes(), &[]).is_ok() {
        listen(&control, &wire, |text, sockets| {
            let Some((word, number, rest)) = parse(text) else { return false };
            match (word, <[OwnedFd; 2]>::try_from(sockets)) {
                (OFFER, Ok(sockets)) => {
                    let working = control.working();
                    // Whoever has finished ends with the last of the others.
                    let Some(&worker) = working.get(number as usize % working.len().max(1)) else {
                        send(&control, &wire, Letter::new("later", number));
                        return true;
                    };
                    transfers.arriving.borrow_mut().insert(number, worker);
                    tell(&control, worker, Message::Offered(number, Offer { account: rest.to_owned(), sockets }));
                }
                // Descriptors were lost on the way: there is no room for them here.
                (OFFER, Err(_)) => send(&control, &wire, Letter::new("later", number)),
                (GO | NO, _) => {
                    if let Some(worker) = transfers.arriving.borrow_mut().remove(&number) {
                        tell(&control, worker, Message::Settled(number, word == GO));
                    }
                }
                _ => return false,
            }
            true
        })
        .await;
    }
    transfers.former.take();
    for (number, worker) in transfers.arriving.borrow_mut().drain() {
        tell(&control, worker, Message::Settled(number, false));
    }
}
