//! What scenarios excuse, and what they do not.

use causeway_protocol::ErrorCode;

use super::*;
use crate::chaos::metadata::judge::{Excuse, Judge, Outage, Why};
use crate::chaos::metadata::write::{Outcome, Write};

fn star() -> Item {
    Item::Star {
        user: user(1),
        channel: channel(1),
        ts: 5,
    }
}

fn write(region: RegionNumber, began: u64, change: Change, outcome: Outcome) -> Write {
    Write {
        client: 0,
        user: user(1),
        region,
        phase: SPLIT,
        item: match change {
            Change::Join | Change::Leave => Item::Member {
                channel: channel(1),
                user: user(1),
            },
            _ => star(),
        },
        change,
        began: ms(began),
        outcome,
    }
}

fn excuse(why: Why) -> [Excuse; 1] {
    [Excuse {
        region: US,
        phase: SPLIT,
        until: None,
        why,
    }]
}

fn rules(writes: &[Write], outages: &[Outage], excuses: &[Excuse], shown: &[Item]) -> Vec<Rule> {
    let judge = Judge { outages, excuses };
    let written = judge.written(&State::new(), writes);
    let state = shown.iter().map(|item| (item.clone(), texts(&[""])));
    broken_in(&written, &Created::new(), &state.collect())
}

fn done(at: u64) -> Outcome {
    Outcome::Acknowledged(ms(at))
}

#[test]
fn what_only_an_emptied_disk_had_may_be_missing_and_is_counted() {
    let excuses = excuse(Why::DiskWiped);
    let writes = [US, EU].map(|region| write(region, 100, add(""), done(110)));
    for (write, missing, at_risk) in [
        (&writes[0], vec![], true),
        (&writes[1], vec![Rule::Lost], false),
    ] {
        let writes = std::slice::from_ref(write);
        assert_eq!(rules(writes, &[], &excuses, &[]), missing);
        assert_eq!(rules(writes, &[], &excuses, &[star()]), []);
        let judge = Judge {
            outages: &[],
            excuses: &excuses,
        };
        assert_eq!(judge.is_at_risk(write), at_risk);
    }
}

#[test]
fn what_was_written_after_the_disk_was_emptied_is_not_excused() {
    let excuses = excuse(Why::DiskWiped).map(|excuse| Excuse {
        until: Some(ms(200)),
        ..excuse
    });
    for (began, missing) in [(199, vec![]), (200, vec![Rule::Lost])] {
        let writes = [write(US, began, add(""), done(began + 10))];
        assert_eq!(rules(&writes, &[], &excuses, &[]), missing);
    }
}

#[test]
fn a_kill_excuses_a_missing_answer_and_nothing_that_was_acknowledged() {
    let outage = Outage {
        region: US,
        from: ms(100),
        to: Some(ms(400)),
    };
    let judge = Judge {
        outages: &[outage],
        excuses: &[],
    };
    let unanswered = |region, began, at| {
        let outcome = Outcome::Unanswered(ms(at));
        judge.is_interrupted(&write(region, began, add(""), outcome))
    };
    assert!(unanswered(US, 90, 300) && unanswered(US, 90, 900));
    assert!(!unanswered(US, 10, 90), "it ended before");
    assert!(!unanswered(US, 500, 900), "it began afterwards");
    assert!(!unanswered(EU, 90, 300), "it was elsewhere");
    let acknowledged = [write(US, 90, add(""), done(99))];
    assert_eq!(rules(&acknowledged, &[outage], &[], &[]), [Rule::Lost]);
}

#[test]
fn a_refusal_may_speak_of_a_first_try_if_there_was_one() {
    let refused = |began, at| {
        let outcome = Outcome::Refused(ms(at), ErrorCode::AlreadyStarred);
        [write(US, began, add(""), outcome)]
    };
    let outage = [Outage {
        region: US,
        from: ms(100),
        to: Some(ms(400)),
    }];
    let there = [star()];
    assert_eq!(rules(&refused(10, 20), &[], &[], &there), [Rule::CameBack]);
    assert_eq!(rules(&refused(10, 5_000), &[], &[], &there), []);
    assert_eq!(rules(&refused(90, 150), &outage, &[], &there), []);
}

#[test]
fn a_join_of_a_replica_that_did_not_count_may_lapse_and_a_star_may_not() {
    let writes = [
        write(US, 100, Change::Join, done(110)),
        write(US, 200, add(""), done(210)),
    ];
    let member = writes[0].item.clone();
    for why in [Why::NotCounted, Why::WrongClock] {
        assert_eq!(rules(&writes, &[], &excuse(why), &[star()]), []);
        let both = [star(), member.clone()];
        assert_eq!(rules(&writes, &[], &excuse(why), &both), []);
        let lost = [member.clone()];
        assert_eq!(rules(&writes, &[], &excuse(why), &lost), [Rule::Lost]);
    }
    assert_eq!(rules(&writes, &[], &[], &[star()]), [Rule::Membership]);
}
