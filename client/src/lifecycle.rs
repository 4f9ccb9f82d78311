//! The states of a client's session, and when and where it tries again. A state machine
//! over inputs and `now`.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use causeway_protocol::ApiError;
use causeway_protocol::session::{Cause, Loss, Retry, State};
use causeway_transport::Closed;
use rand::rngs::SmallRng;

use crate::outbox::{longest_pause, pause};
use crate::{Avoid, Pop};

/// A PoP that says when to come back is taken at its word up to this.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);
/// A session that was served for so long was no failed try.
const SETTLED: Duration = Duration::from_secs(5);

/// What happens to a session. PoPs are told by their address.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// A PoP has let the client in.
    Welcomed,
    /// The edge node wants to be left; `open` names PoPs that take clients, if known.
    GoAway {
        /// Where.
        at: SocketAddr,
        /// Why.
        code: String,
        /// Where to.
        open: Vec<String>,
    },
    /// The connection that serves the session has ended.
    Ended {
        /// Where.
        at: SocketAddr,
        /// How.
        closed: Closed,
    },
    /// No PoP was reached.
    NotReached(Closed),
    /// The connection was over before the hello was answered.
    Unheard {
        /// Where.
        at: SocketAddr,
        /// How.
        closed: Closed,
    },
    /// The hello was refused; `open` names PoPs that take clients, if known.
    Refused {
        /// Where.
        at: SocketAddr,
        /// Why.
        error: ApiError,
        /// Where to.
        open: Vec<String>,
    },
    /// The application wants another connection.
    Reconnect,
    /// The application needs the session no more.
    LetGo,
}

impl Input {
    /// The hello was not answered, or with something else.
    pub fn unanswered(at: SocketAddr, reason: impl Into<String>) -> Self {
        let closed = Closed::lost(Loss::Unanswered, reason);
        Self::Unheard { at, closed }
    }

    /// For programs, and for people.
    fn why(self) -> (Cause, String) {
        match self {
            Self::Welcomed => (Cause::Welcomed, String::new()),
            Self::GoAway { code, .. } => (Cause::GoAway, code),
            Self::Ended { closed, .. }
            | Self::NotReached(closed)
            | Self::Unheard { closed, .. } => (Cause::Ended(closed.end), closed.reason),
            Self::Refused { error, .. } => (Cause::Refused(error.code), error.to_string()),
            Self::Reconnect => (Cause::Reconnect, "asked to reconnect".into()),
            Self::LetGo => (Cause::LetGo, String::new()),
        }
    }
}

/// A step from one state to the next, or to the same one when a try has failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// The state before.
    pub from: State,
    /// The state from now on.
    pub to: State,
    /// What has led there.
    pub cause: Cause,
    /// For people; may be empty.
    pub reason: String,
}

impl Transition {
    /// The stable code of what has led there.
    pub fn code(&self) -> &'static str {
        self.cause.code()
    }

    /// Whether a retry can help. The client makes it by itself.
    pub fn retry(&self) -> Retry {
        self.cause.retry()
    }
}

/// The session of a client.
#[derive(Debug)]
pub struct Lifecycle {
    state: State,
    pops: Vec<Pop>,
    avoid: Avoid,
    rng: SmallRng,
    /// Since it was last settled.
    tries: u32,
    served_since: Option<Instant>,
    try_at: Instant,
}

impl Lifecycle {
    /// A session that is to begin, at one of `pops`; `rng` spreads tries.
    pub fn new(pops: Vec<Pop>, rng: SmallRng, now: Instant) -> Self {
        Self {
            state: State::Connecting,
            pops,
            avoid: Avoid::default(),
            rng,
            tries: 0,
            served_since: None,
            try_at: now,
        }
    }

    /// Its state.
    pub fn state(&self) -> State {
        self.state
    }

    /// Which PoPs not to try.
    pub fn avoid(&self) -> &Avoid {
        &self.avoid
    }

    /// When to try to connect next; `None` while a PoP serves it, and when it is over.
    pub fn try_at(&self) -> Option<Instant> {
        self.state.is_seeking().then_some(self.try_at)
    }

    /// Takes in what happens at `now`, and tells where that leads.
    pub fn on(&mut self, input: Input, now: Instant) -> Option<Transition> {
        let before = self.avoid.leaves(&self.pops, now);
        self.learn(&input, now);
        let left = self.avoid.leaves(&self.pops, now);
        let (cause, reason) = input.why();
        let (from, to) = (self.state, self.state.after(cause)?);
        self.state = to;
        if to.is_served() {
            self.served_since.get_or_insert(now);
        } else {
            // Whoever was a last resort, and refuses again, is no reason to hurry.
            let is_elsewhere_left = (1..before).contains(&left);
            self.plan(cause.retry(), is_elsewhere_left, now);
        }
        Some(Transition {
            from,
            to,
            cause,
            reason,
        })
    }

    /// What it says of PoPs, also where it leads nowhere: a move may have been refused.
    fn learn(&mut self, input: &Input, now: Instant) {
        let (pops, avoid) = (&self.pops, &mut self.avoid);
        let pop = |at: &SocketAddr| pops.iter().find(|pop| pop.address == *at);
        match input {
            Input::GoAway { at, open, .. } => {
                if let Some(pop) = pop(at) {
                    avoid.told(pop, open, pops, now);
                }
            }
            Input::Ended { at, closed } if closed.end.retry() == Retry::Elsewhere => {
                avoid.left(*at, now);
            }
            Input::Unheard { at, .. } => {
                if let Some(pop) = pop(at) {
                    avoid.refused(pop, &[], pops, now);
                }
            }
            Input::Refused { at, error, open } => {
                if let Some(pop) = pop(at) {
                    avoid.refused(pop, open, pops, now);
                    let asked = Duration::from_millis(error.retry_after_ms.into());
                    avoid.wait(pop, pops, now, asked.min(RETRY_AFTER_MAX));
                }
            }
            _ => {}
        }
    }

    /// When to try next.
    fn plan(&mut self, retry: Retry, is_elsewhere_left: bool, now: Instant) {
        let served_since = self.served_since.take();
        if served_since.is_some_and(|since| now.duration_since(since) >= SETTLED) {
            self.tries = 0;
        }
        let wait = match (retry, self.tries) {
            (Retry::Later, _) => longest_pause(&mut self.rng),
            (Retry::Elsewhere, _) if is_elsewhere_left => Duration::ZERO,
            (_, 0) => Duration::ZERO,
            (_, tries) => pause(tries, &mut self.rng),
        };
        self.tries = self.tries.saturating_add(1);
        self.try_at = self.avoid.free_at(&self.pops, now) + wait;
    }
}

#[cfg(test)]
mod tests {
    use causeway_protocol::session::End;
    use causeway_protocol::{CloseCode, ErrorCode};
    use proptest::prelude::*;
    use rand::SeedableRng;

    use super::*;
    use crate::outbox::PAUSE_MAX;

    fn pop(name: &str, host: u8) -> Pop {
        Pop {
            name: name.parse().unwrap(),
            address: ([127, 0, 0, host], 1).into(),
            https: None,
            server_name: name.into(),
        }
    }

    /// Two nodes of one PoP, and two other PoPs.
    fn pops() -> Vec<Pop> {
        vec![pop("a", 1), pop("a", 2), pop("b", 3), pop("c", 4)]
    }

    fn begun(seed: u64, now: Instant) -> Lifecycle {
        Lifecycle::new(pops(), SmallRng::seed_from_u64(seed), now)
    }

    fn at(host: usize) -> SocketAddr {
        pops()[host].address
    }

    fn ended(host: usize, end: End) -> Input {
        let (at, reason) = (at(host), String::new());
        let closed = Closed { end, reason };
        Input::Ended { at, closed }
    }

    fn refused(host: usize, code: ErrorCode, retry_after_ms: u32) -> Input {
        let error = ApiError {
            retry_after_ms,
            ..code.into()
        };
        let (at, open) = (at(host), Vec::new());
        Input::Refused { at, error, open }
    }

    /// The hosts that may be tried at a time, and those that may be in the end.
    fn tried(session: &Lifecycle, now: Instant) -> (Vec<u8>, Vec<u8>) {
        let hosts = |pops: Vec<&Pop>| {
            let host = |pop: &&Pop| pops_host(pop.address);
            pops.iter().map(host).collect()
        };
        let all = pops();
        let (first, rest) = session.avoid().split(&all, now);
        (hosts(first), hosts(rest))
    }

    fn pops_host(address: SocketAddr) -> u8 {
        match address {
            SocketAddr::V4(v4) => v4.ip().octets()[3],
            SocketAddr::V6(_) => 0,
        }
    }

    fn states(transition: Option<Transition>) -> (State, State) {
        let transition = transition.expect("a transition");
        (transition.from, transition.to)
    }

    #[test]
    fn a_session_goes_through_its_states() {
        let now = Instant::now();
        let mut session = begun(1, now);
        let go_away = Input::GoAway {
            at: at(0),
            code: "draining".into(),
            open: Vec::new(),
        };
        let broken = End::Lost(Loss::Broken);
        use State::{Closed, Connecting, Draining, Live, Resuming};
        for (input, from, to) in [
            (
                Input::NotReached(causeway_transport::Closed::broken("")),
                Connecting,
                Connecting,
            ),
            (Input::Welcomed, Connecting, Live),
            (go_away.clone(), Live, Draining),
            (Input::Welcomed, Draining, Live),
            (ended(2, broken), Live, Resuming),
            (refused(2, ErrorCode::Unavailable, 0), Resuming, Resuming),
            (Input::Welcomed, Resuming, Live),
            (Input::Reconnect, Live, Resuming),
            (refused(0, ErrorCode::TokenExpired, 0), Resuming, Closed),
        ] {
            assert_eq!(states(session.on(input, now)), (from, to));
        }
        assert_eq!(session.try_at(), None);
        assert_eq!(session.on(Input::Welcomed, now), None);
    }

    #[test]
    fn a_break_is_followed_at_once_and_further_ones_after_pauses() {
        let now = Instant::now();
        let mut session = begun(1, now);
        session.on(Input::Welcomed, now);
        let timed_out = End::Lost(Loss::TimedOut);
        session.on(ended(0, timed_out), now);
        assert_eq!(session.try_at(), Some(now));
        // A session of a moment has not helped.
        session.on(Input::Welcomed, now);
        session.on(ended(0, timed_out), now);
        assert!(session.try_at().unwrap() > now);
        session.on(Input::Welcomed, now);
        session.on(ended(0, timed_out), now + SETTLED);
        assert_eq!(session.try_at(), Some(now + SETTLED));
    }

    #[test]
    fn whoever_asked_too_much_waits_long() {
        let now = Instant::now();
        let mut session = begun(1, now);
        session.on(Input::Welcomed, now);
        session.on(ended(0, End::Said(CloseCode::Flooding)), now);
        assert!(session.try_at().unwrap() >= now + PAUSE_MAX / 2);
    }

    #[test]
    fn a_node_that_stops_is_left_and_its_pop_is_not() {
        let now = Instant::now();
        let mut session = begun(1, now);
        session.on(Input::Welcomed, now);
        session.on(ended(0, End::Said(CloseCode::GoingAway)), now);
        assert_eq!(session.try_at(), Some(now));
        assert_eq!(tried(&session, now), (vec![2, 3, 4], vec![1]));
    }

    #[test]
    fn a_refusal_is_waited_for_where_it_came_from_and_others_are_tried_at_once() {
        let now = Instant::now();
        let mut session = begun(1, now);
        let second = Duration::from_secs(1);
        session.on(refused(0, ErrorCode::Ratelimited, 3_000), now);
        assert_eq!(session.try_at(), Some(now));
        assert_eq!(tried(&session, now), (vec![3, 4], vec![]));
        session.on(refused(2, ErrorCode::Ratelimited, 9_000), now);
        session.on(refused(3, ErrorCode::Ratelimited, 2_000), now);
        let next = session.try_at().unwrap();
        assert!(next > now + 2 * second && next < now + 3 * second);
        assert_eq!(tried(&session, next), (vec![], vec![4]));
    }

    #[test]
    fn a_last_resort_that_refuses_again_and_again_is_asked_after_pauses() {
        let now = Instant::now();
        let mut session = begun(1, now);
        session.on(refused(0, ErrorCode::Unavailable, 0), now);
        assert_eq!(session.try_at(), Some(now), "others may take it");
        // They have not answered, so it was asked once more.
        session.on(refused(0, ErrorCode::Unavailable, 0), now);
        assert!(session.try_at().unwrap() > now);
    }

    #[test]
    fn a_session_that_is_served_outlives_a_refusal_elsewhere() {
        let now = Instant::now();
        let mut session = begun(1, now);
        session.on(Input::Welcomed, now);
        let go_away = Input::GoAway {
            at: at(0),
            code: "draining".into(),
            open: vec!["b".into()],
        };
        session.on(go_away, now);
        let refusal = refused(2, ErrorCode::TokenExpired, 0);
        assert_eq!(session.on(refusal, now), None);
        assert_eq!(session.state(), State::Draining);
        assert_eq!(tried(&session, now), (vec![], vec![1, 2, 3, 4]));
    }

    fn an_input() -> impl Strategy<Value = Input> {
        let ends: Vec<End> = End::all().collect();
        let end = proptest::sample::select(ends);
        let code = proptest::sample::select(ErrorCode::ALL);
        let open = proptest::collection::vec(proptest::sample::select(vec!["a", "b", "z"]), 0..3);
        let open = open.prop_map(|names| names.into_iter().map(str::to_owned).collect::<Vec<_>>());
        let wait = prop_oneof![Just(0u32), 1..90_000u32, Just(u32::MAX)];
        let closed = end.prop_map(|end| Closed {
            end,
            reason: String::new(),
        });
        let host = 0..4usize;
        prop_oneof![
            3 => Just(Input::Welcomed),
            2 => (host.clone(), open.clone()).prop_map(|(host, open)| Input::GoAway {
                at: at(host),
                code: "draining".into(),
                open,
            }),
            3 => (host.clone(), closed.clone())
                .prop_map(|(host, closed)| Input::Ended { at: at(host), closed }),
            2 => closed.clone().prop_map(Input::NotReached),
            2 => (host.clone(), closed)
                .prop_map(|(host, closed)| Input::Unheard { at: at(host), closed }),
            4 => (host, code, wait, open).prop_map(|(host, code, retry_after_ms, open)| {
                let error = ApiError { retry_after_ms, ..code.into() };
                Input::Refused { at: at(host), error, open }
            }),
            1 => Just(Input::Reconnect),
        ]
    }

    /// What the PoPs have asked for so far.
    #[derive(Default)]
    struct Asked(Vec<(usize, Instant)>);

    impl Asked {
        fn note(&mut self, input: &Input, now: Instant) {
            let Input::Refused { at, error, .. } = input else {
                return;
            };
            let asked = Duration::from_millis(error.retry_after_ms.into());
            let until = now + asked.min(RETRY_AFTER_MAX);
            let all = pops();
            let name = &all.iter().find(|pop| pop.address == *at).unwrap().name;
            let hosts = all.iter().enumerate().filter(|(_, pop)| pop.name == *name);
            self.0.extend(hosts.map(|(host, _)| (host, until)));
        }

        fn is_alone(&self, host: u8, now: Instant) -> bool {
            let mut asked = self.0.iter();
            asked.any(|(h, until)| h + 1 == usize::from(host) && *until > now)
        }
    }

    /// How a session may go on.
    const LEGAL: &[(State, State)] = &[
        (State::Connecting, State::Connecting),
        (State::Connecting, State::Live),
        (State::Connecting, State::Closed),
        (State::Live, State::Draining),
        (State::Live, State::Resuming),
        (State::Live, State::Closed),
        (State::Draining, State::Live),
        (State::Draining, State::Resuming),
        (State::Draining, State::Closed),
        (State::Resuming, State::Resuming),
        (State::Resuming, State::Live),
        (State::Resuming, State::Closed),
    ];

    proptest! {
        /// Whatever happens in whichever order: transitions are legal and follow one
        /// another, waits are bounded, and nobody is tried before the time it asked for.
        #[test]
        fn whatever_happens_sessions_keep_their_rules(
            seed: u64,
            happenings in proptest::collection::vec((an_input(), 0..20_000u64), 1..60),
            lets_go: bool,
        ) {
            let mut now = Instant::now();
            let (mut session, mut asked) = (begun(seed, now), Asked::default());
            let mut state = State::Connecting;
            for (input, later_ms) in happenings {
                asked.note(&input, now);
                let transition = session.on(input, now);
                if let Some(transition) = &transition {
                    prop_assert!(state != State::Closed);
                    prop_assert_eq!(transition.from, state);
                    prop_assert!(LEGAL.contains(&(state, transition.to)), "{:?}", transition);
                    if transition.to.is_seeking() {
                        prop_assert!(transition.retry().can_help());
                    }
                    state = transition.to;
                }
                prop_assert_eq!(session.state(), state);
                prop_assert_eq!(session.try_at().is_some(), state.is_seeking());
                if let (Some(at), true) = (session.try_at(), transition.is_some()) {
                    prop_assert!(at >= now && at <= now + RETRY_AFTER_MAX + PAUSE_MAX);
                    let (first, rest) = tried(&session, at);
                    prop_assert!(first.len() + rest.len() > 0, "nobody is left to try");
                }
                let looks = [now, now + Duration::from_millis(later_ms)];
                for at in looks.into_iter().chain(session.try_at()) {
                    let (first, rest) = tried(&session, at);
                    for host in first.into_iter().chain(rest) {
                        prop_assert!(!asked.is_alone(host, at), "{} is tried early", host);
                    }
                }
                now += Duration::from_millis(later_ms);
            }
            if lets_go {
                let over = session.on(Input::LetGo, now);
                prop_assert_eq!(over.is_some(), state != State::Closed);
                prop_assert_eq!(session.state(), State::Closed);
            }
        }

        /// Without a session, tries at once come to an end.
        #[test]
        fn failures_without_a_session_are_soon_followed_by_pauses(
            seed: u64,
            failures in proptest::collection::vec((0..4usize, an_input()), 20),
        ) {
            let now = Instant::now();
            let mut session = begun(seed, now);
            let failed = failures.into_iter().filter(|(_, input)| match input {
                Input::Refused { error, .. } => error.code.is_retryable(),
                input => matches!(input, Input::NotReached(_) | Input::Unheard { .. }),
            });
            let mut at_once = 0;
            for (_, input) in failed {
                session.on(input, now);
                at_once += usize::from(session.try_at() == Some(now));
            }
            prop_assert!(at_once <= 1 + pops().len(), "{} tries at once", at_once);
        }
    }
}
