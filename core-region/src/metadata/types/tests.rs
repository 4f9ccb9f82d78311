//! The laws: for each type, whatever replicas do and in whatever order operations
//! reach them, those that have the same have the same state; states that are
//! merged are what operations would have made; and doing it twice changes nothing.
//! What is there to see is compared with a model that looks at the whole history.

use std::collections::BTreeSet;

use causeway_protocol::NodeId;
use proptest::prelude::*;

use super::*;
use crate::metadata::actor::Actor;
use crate::metadata::row::Row;
use crate::metadata::version::Version;

const REPLICAS: usize = 3;

/// What somebody wants, at a replica.
#[derive(Debug, Clone)]
enum Wish {
    /// Set, put, raise or join; with this value.
    Put(u8),
    /// Remove or leave; or put something else.
    Undo,
}

#[derive(Debug, Clone)]
enum Step {
    Write(usize, Wish),
    /// The replica is given one of the operations, if those before it are there.
    Deliver(usize, prop::sample::Index),
    /// It is stored, and read again.
    Reopen(usize),
}

#[derive(Debug, Clone)]
struct Operation {
    dot: Dot,
    time: HybridTime,
    change: Change,
    /// All that its writer had.
    after: Version,
}

#[derive(Debug, Clone)]
struct Replica {
    row: Row,
    version: Version,
}

#[derive(Debug, Clone)]
struct World {
    kind: Kind,
    replicas: Vec<Replica>,
    history: Vec<Operation>,
}

fn actor(replica: usize) -> Actor {
    Actor {
        node: NodeId(replica as u64 + 1),
        life: 1,
    }
}

impl World {
    fn new(kind: Kind) -> Self {
        let replica = Replica {
            row: Row::new(kind),
            version: Version::default(),
        };
        Self {
            kind,
            replicas: vec![replica; REPLICAS],
            history: Vec::new(),
        }
    }

    fn play(kind: Kind, steps: &[Step]) -> Self {
        let mut world = Self::new(kind);
        for step in steps {
            match step {
                Step::Write(at, wish) => world.write(*at, wish),
                Step::Deliver(to, which) if !world.history.is_empty() => {
                    let operation = world.history[which.index(world.history.len())].clone();
                    world.replicas[*to].take(&operation);
                }
                Step::Deliver(..) => {}
                Step::Reopen(at) => {
                    let row = &mut world.replicas[*at].row;
                    let reopened = Row::decode(kind, &row.encode()).unwrap();
                    assert_eq!(reopened, *row);
                    *row = reopened;
                }
            }
        }
        world
    }

    fn write(&mut self, at: usize, wish: &Wish) {
        let seen = &self.replicas[at].version;
        let seen = self.history.iter().filter(|op| seen.has(&op.dot));
        // Later than all that the writer has seen, and often at the same time as
        // what others write.
        let time = seen.map(|op| op.time.0).max().unwrap_or(0) + 1;
        let replica = &mut self.replicas[at];
        let dot = Dot::new(actor(at), replica.version.get(actor(at)) + 1);
        let bytes = |value: u8| Bytes::from(vec![value]);
        let change = match (&replica.row.value, wish) {
            (Value::Element(it), Wish::Undo) => Change::Remove(it.observed()),
            (Value::Register(_), Wish::Put(value)) => Change::Set(bytes(*value)),
            (Value::Register(_), Wish::Undo) => Change::Set(Bytes::new()),
            (Value::Element(it) | Value::MultiValue(it), Wish::Put(value)) => {
                Change::Put(bytes(*value), it.observed())
            }
            (Value::MultiValue(it), Wish::Undo) => Change::Put(Bytes::new(), it.observed()),
            (Value::Mark(_), Wish::Put(value)) => Change::Raise(Mark {
                seq: u64::from(*value),
                messages: u64::from(*value) / 2,
            }),
            (Value::Mark(_), Wish::Undo) => return,
            (Value::Membership(_), Wish::Put(_)) => Change::Join(replica.version.clone()),
            (Value::Membership(it), Wish::Undo) => Change::Leave(it.observed()),
        };
        let operation = Operation {
            dot,
            time: HybridTime(time),
            change,
            after: replica.version.clone(),
        };
        replica.take(&operation);
        self.history.push(operation);
    }

    /// Everything reaches everybody, in each replica's own order.
    fn settle(&mut self) {
        for turn in 0..REPLICAS {
            loop {
                let replica = &mut self.replicas[turn];
                let mut history = self.history.iter();
                let due = history.find(|op| !replica.version.has(&op.dot) && replica.may_take(op));
                match due {
                    Some(operation) => replica.take(operation),
                    None => break,
                }
            }
        }
    }

    /// What is there, by the whole history of those operations that `seen` has.
    fn model(&self, seen: &Version) -> BTreeSet<Vec<u8>> {
        let had: Vec<&Operation> = self.history.iter().filter(|op| seen.has(&op.dot)).collect();
        let knows = |later: &Operation, earlier: &Operation| later.after.has(&earlier.dot);
        let stamp = |op: &Operation| (op.time, op.dot.actor);
        let puts = had.iter().filter_map(|op| match &op.change {
            Change::Set(value) | Change::Put(value, _) => Some((*op, value)),
            _ => None,
        });
        let last_put = || puts.clone().max_by_key(|(op, _)| stamp(op));
        let one = |value: Option<&Bytes>| value.map(|value| value.to_vec()).into_iter().collect();
        match self.kind {
            Kind::Register => one(last_put().map(|(_, value)| value)),
            // What no later write, nor any removal, knew of.
            Kind::Element | Kind::MultiValue => {
                let stands = |put: &Operation| !had.iter().any(|later| knows(later, put));
                let standing = puts.clone().filter(|(put, _)| stands(put));
                standing.map(|(_, value)| value.to_vec()).collect()
            }
            Kind::Mark => {
                let raised = had.iter().filter_map(|op| match op.change {
                    Change::Raise(mark) => Some(mark.seq),
                    _ => None,
                });
                let highest = raised.max().into_iter().filter(|seq| *seq > 0);
                highest.map(|seq| seq.to_be_bytes().to_vec()).collect()
            }
            // A member if every departure is known to some join, and some join to
            // no departure.
            Kind::Membership => {
                let joins = || had.iter().filter(|op| matches!(op.change, Change::Join(_)));
                let leaves = || {
                    had.iter()
                        .filter(|op| matches!(op.change, Change::Leave(_)))
                };
                let all_over = leaves().all(|leave| joins().any(|join| knows(join, leave)));
                let stands = joins().any(|join| !leaves().any(|leave| knows(leave, join)));
                let is_member = all_over && stands;
                is_member.then(|| b"member".to_vec()).into_iter().collect()
            }
        }
    }
}

impl Replica {
    fn may_take(&self, operation: &Operation) -> bool {
        self.version.has_all(&operation.after)
    }

    /// Again changes nothing: not even when it is applied twice.
    fn take(&mut self, operation: &Operation) {
        if self.may_take(operation) {
            let value = &mut self.row.value;
            if self.version.has(&operation.dot) {
                let before = value.clone();
                value.apply(operation.dot, operation.time, &operation.change);
                assert_eq!(*value, before, "{operation:?} twice");
            } else {
                self.row
                    .apply(operation.dot, operation.time, &operation.change);
                self.version.add(&operation.dot);
            }
        }
    }

    fn shown(&self) -> BTreeSet<Vec<u8>> {
        shown(&self.row.value)
    }
}

/// What there is to see of a value.
pub fn shown(value: &Value) -> BTreeSet<Vec<u8>> {
    match value {
        Value::Register(it) => it
            .get()
            .map(|(value, _)| value.to_vec())
            .into_iter()
            .collect(),
        Value::Element(it) | Value::MultiValue(it) => {
            it.values().iter().map(|w| w.value.to_vec()).collect()
        }
        Value::Mark(Mark { seq: 0, .. }) => BTreeSet::new(),
        Value::Mark(it) => [it.seq.to_be_bytes().to_vec()].into(),
        Value::Membership(it) => {
            let member = it.is_member().then(|| b"member".to_vec());
            member.into_iter().collect()
        }
    }
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::Element),
        Just(Kind::Register),
        Just(Kind::MultiValue),
        Just(Kind::Mark),
        Just(Kind::Membership),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let wish = prop_oneof![3 => (1..5u8).prop_map(Wish::Put), 2 => Just(Wish::Undo)];
    let step = prop_oneof![
        4 => (0..REPLICAS, wish).prop_map(|(at, wish)| Step::Write(at, wish)),
        6 => (0..REPLICAS, any::<prop::sample::Index>()).prop_map(|(to, op)| Step::Deliver(to, op)),
        1 => (0..REPLICAS).prop_map(Step::Reopen),
    ];
    prop::collection::vec(step, 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn every_replica_shows_what_the_history_says(kind in kind(), steps in steps()) {
        let mut world = World::play(kind, &steps);
        for replica in &world.replicas {
            prop_assert_eq!(replica.shown(), world.model(&replica.version));
        }
        world.settle();
        for replica in &world.replicas {
            prop_assert_eq!(&replica.row, &world.replicas[0].row);
        }
    }

    #[test]
    fn merging_states_is_what_operations_would_have_done(kind in kind(), steps in steps()) {
        let world = World::play(kind, &steps);
        let [a, b, c] = [0, 1, 2].map(|n| world.replicas[n].row.value.clone());
        let merged = |mut into: Value, others: &[&Value]| {
            others.iter().for_each(|other| into.merge((*other).clone()));
            into
        };
        let ab = merged(a.clone(), &[&b]);
        prop_assert_eq!(&ab, &merged(b.clone(), &[&a]), "commutative");
        let bc = merged(b.clone(), &[&c]);
        prop_assert_eq!(merged(ab.clone(), &[&c]), merged(a.clone(), &[&bc]), "associative");
        prop_assert_eq!(merged(ab.clone(), &[&a, &b, &ab]), ab.clone(), "idempotent");

        let mut both = world.replicas[0].clone();
        let mut version = both.version.clone();
        version.merge(&world.replicas[1].version);
        for operation in world.history.iter().filter(|op| version.has(&op.dot)) {
            both.take(operation);
        }
        prop_assert_eq!(both.row.value, ab);
    }

    /// What everybody has may be forgotten by some and not by others: it makes no
    /// difference to what comes.
    #[test]
    fn forgetting_what_is_settled_changes_nothing_to_see(
        kind in kind(), before in steps(), after in steps(), forgetful in 0..REPLICAS,
    ) {
        let mut world = World::play(kind, &before);
        world.settle();
        let stable = world.replicas[0].version.clone();
        let row = &mut world.replicas[forgetful].row;
        row.value.settle(&stable);
        if !row.value.is_there() {
            *row = Row::new(kind);
        }
        let known = world.history.len();
        for step in &after {
            match step {
                Step::Write(at, wish) => world.write(*at, wish),
                Step::Deliver(to, which) if world.history.len() > known => {
                    // What was settled does not come again.
                    let new = known + which.index(world.history.len() - known);
                    let operation = world.history[new].clone();
                    let replica = &mut world.replicas[*to];
                    if !replica.version.has(&operation.dot) {
                        replica.take(&operation);
                    }
                }
                _ => {}
            }
        }
        for replica in &world.replicas {
            prop_assert_eq!(replica.shown(), world.model(&replica.version));
        }
        world.settle();
        for replica in &world.replicas {
            prop_assert_eq!(replica.shown(), world.model(&replica.version));
        }
    }
}

#[test]
fn a_removal_wins_over_a_join_that_did_not_know_of_it() {
    let mut world = World::new(Kind::Membership);
    world.write(0, &Wish::Put(1));
    world.settle();
    world.write(1, &Wish::Undo);
    world.write(0, &Wish::Put(1));
    world.settle();
    assert!(world.replicas.iter().all(|r| r.shown().is_empty()));
    world.write(2, &Wish::Put(1));
    world.settle();
    assert!(world.replicas.iter().all(|r| !r.shown().is_empty()));
}
