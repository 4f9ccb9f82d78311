//! Whatever happens in a correct world passes; whatever is then taken from it, or
//! put into it, is found.

use proptest::collection::vec;
use proptest::prelude::*;

use super::builder::{CHANNEL, Op, STRANGER, Story};
use super::check;
use super::planted::FAULTS;
use super::telling::{edit, send};
use crate::chaos::history::{Call, History, Outcome};

#[derive(Debug, Clone)]
enum Step {
    Send(usize),
    Reply(usize, usize),
    Resend(usize),
    Edit(usize),
    Delete(usize),
    /// What is under way is carried out, perhaps not for the first time.
    Commit(usize),
    Acknowledge(usize),
    Refuse(usize),
    /// An edit that was carried out is so again, whether answered or not.
    Repeat(usize),
    Read(usize, u64),
    Away(usize),
    Back(usize),
    Join,
}

fn a_step() -> impl Strategy<Value = Step> {
    let (n, client) = (any::<usize>, 0..=STRANGER);
    prop_oneof![
        6 => client.clone().prop_map(Step::Send),
        2 => (client.clone(), n()).prop_map(|(client, n)| Step::Reply(client, n)),
        1 => n().prop_map(Step::Resend),
        3 => n().prop_map(Step::Edit),
        2 => n().prop_map(Step::Delete),
        12 => n().prop_map(Step::Commit),
        12 => n().prop_map(Step::Acknowledge),
        1 => n().prop_map(Step::Refuse),
        1 => n().prop_map(Step::Repeat),
        4 => (client.clone(), 0..6u64).prop_map(|(client, behind)| Step::Read(client, behind)),
        1 => client.clone().prop_map(Step::Away),
        2 => client.prop_map(Step::Back),
        1 => Just(Step::Join),
    ]
}

struct Play {
    story: Story,
    joined: bool,
    /// Under way: perhaps carried out, not answered.
    open: Vec<Op>,
    /// Messages with their acknowledgements.
    sent: Vec<(Op, u64)>,
    edited: Vec<Op>,
    count: u64,
}

impl Play {
    fn of(steps: &[Step]) -> History {
        let mut play = Self {
            story: Story::new(),
            joined: false,
            open: Vec::new(),
            sent: Vec::new(),
            edited: Vec::new(),
            count: 0,
        };
        for step in steps {
            play.step(step);
        }
        for client in 0..STRANGER {
            play.story.back(client);
        }
        play.story.history()
    }

    fn step(&mut self, step: &Step) {
        self.count += 1;
        let name = self.count.to_string();
        match *step {
            Step::Send(client) => self.begin(client, send(&name, 0)),
            Step::Reply(client, n) => {
                let ts = pick(&self.sent, n).map_or(0, |(_, ts)| ts);
                self.begin(client, send(&name, ts));
            }
            Step::Resend(n) => {
                // Of any message, answered or not.
                let sends = 0..self.story.operations().len();
                let sends = sends.filter(|op| self.is_send(*op));
                if let Some(op) = pick(&sends.collect::<Vec<_>>(), n) {
                    let first = self.story.operations()[op].clone();
                    self.begin(first.client, first.call);
                }
            }
            Step::Edit(n) => self.change(n, |ts| edit(ts, &name)),
            Step::Delete(n) => self.change(n, |ts| Call::Delete { ts }),
            Step::Commit(n) => self.commit(n),
            Step::Acknowledge(n) => self.acknowledge(n),
            Step::Refuse(n) => {
                let untouched = self.open.iter().copied();
                let untouched = untouched.filter(|op| self.story.place(*op).is_none());
                if let Some(op) = pick(&untouched.collect::<Vec<_>>(), n) {
                    self.open.retain(|open| *open != op);
                    self.story.refuse(op);
                }
            }
            Step::Repeat(n) => {
                if let Some(op) = pick(&self.edited, n) {
                    self.story.commit(op);
                }
            }
            Step::Read(client, behind) => {
                self.story.read_behind(client, behind);
            }
            Step::Away(client) => self.story.away(client),
            Step::Back(client) if client != STRANGER || self.joined => self.story.back(client),
            Step::Join if !self.joined => {
                self.story.join(STRANGER);
                self.joined = true;
            }
            Step::Back(_) | Step::Join => {}
        }
    }

    fn is_send(&self, op: Op) -> bool {
        matches!(self.story.operations()[op].call, Call::Send { .. })
    }

    fn begin(&mut self, client: usize, call: Call) {
        if client != STRANGER || self.joined {
            self.open.push(self.story.begin(client, call));
        }
    }

    fn change(&mut self, n: usize, call: impl FnOnce(u64) -> Call) {
        if let Some((op, ts)) = pick(&self.sent, n) {
            let client = self.story.operations()[op].client;
            self.begin(client, call(ts));
        }
    }

    fn commit(&mut self, n: usize) {
        let Some(op) = pick(&self.open, n) else {
            return;
        };
        if self.story.commit(op).is_some() {
            if matches!(self.story.operations()[op].call, Call::Edit { .. }) {
                self.edited.push(op);
            }
            return;
        }
        // The message is gone.
        self.open.retain(|open| *open != op);
        let code = "message_not_found".to_string();
        let is_deletion = matches!(self.story.operations()[op].call, Call::Delete { .. });
        self.story.end(op, |at| match is_deletion {
            true => Outcome::Done { at },
            false => Outcome::Refused { at, code },
        });
    }

    fn acknowledge(&mut self, n: usize) {
        let done = self.open.iter().copied();
        let done = done.filter(|op| self.story.place(*op).is_some());
        let Some(op) = pick(&done.collect::<Vec<_>>(), n) else {
            return;
        };
        self.open.retain(|open| *open != op);
        self.story.acknowledge(op);
        if let Some((_, ts)) = self.story.place(op).filter(|_| self.is_send(op)) {
            self.sent.push((op, ts));
        }
    }
}

fn pick<T: Clone>(list: &[T], n: usize) -> Option<T> {
    list.get(n % list.len().max(1)).cloned()
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config(256))]

    #[test]
    fn what_is_right_passes(steps in vec(a_step(), 0..120)) {
        let verdict = check(&Play::of(&steps));
        prop_assert!(verdict.is_clean(), "{:#?}", verdict.violations);
    }

    #[test]
    fn what_is_wrong_is_found(steps in vec(a_step(), 20..80), n in any::<usize>()) {
        let right = Play::of(&steps);
        for (name, plant) in FAULTS {
            let mut wrong = right.clone();
            if plant(&mut wrong, n).is_some() {
                prop_assert!(!check(&wrong).is_clean(), "{name} was not found");
            }
        }
    }
}

/// The laws would hold of nothing, too.
#[test]
fn every_fault_can_be_planted() {
    let mut play = Story::new();
    let a = play.sends(0, "a");
    play.sends(1, "b");
    play.edits(0, a, "another a");
    play.deletes(0, a);
    play.sends(2, "c");
    for (name, plant) in FAULTS {
        let mut history = play.history();
        assert!(plant(&mut history, 1).is_some(), "{name}");
        let verdict = check(&history);
        assert!(!verdict.is_clean(), "{name}");
        let here = CHANNEL.to_string();
        assert!(verdict.violations.iter().all(|v| v.text.contains(&here)));
    }
}
