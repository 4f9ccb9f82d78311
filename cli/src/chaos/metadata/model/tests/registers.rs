use super::*;

fn topic() -> Item {
    Item::Topic(channel(1))
}

fn purpose() -> Item {
    Item::Purpose(channel(1))
}

#[test]
fn the_later_wins_and_of_two_at_the_same_time_either() {
    let item = topic();
    let calm = wrote((US, CALM), (10, 20), &item, set("calm"));
    let us = wrote((US, SPLIT), (100, 150), &item, set("us"));
    let eu = wrote((EU, SPLIT), (300, 350), &item, set("eu"));
    let writes = [calm.clone(), us.clone(), eu];
    assert_eq!(broken(&writes, &item, &["eu"]), []);
    for earlier in ["calm", "us"] {
        assert_eq!(broken(&writes, &item, &[earlier]), [Rule::LastWriter]);
    }
    let meanwhile = wrote((EU, SPLIT), (120, 170), &item, set("eu"));
    let writes = [calm, us, meanwhile];
    for shown in ["us", "eu"] {
        assert_eq!(broken(&writes, &item, &[shown]), []);
    }
    assert_eq!(broken(&writes, &item, &["calm"]), [Rule::LastWriter]);
}

#[test]
fn what_is_shown_was_written_and_something_is() {
    let item = topic();
    let writes = [wrote((US, CALM), (10, 20), &item, set("x"))];
    assert_eq!(broken(&writes, &item, &["y"]), [Rule::Unheard]);
    assert_eq!(broken(&writes, &item, &[]), [Rule::Lost]);
    let writes = writes.map(unanswered);
    assert_eq!(broken(&writes, &item, &[]), []);
}

#[test]
fn a_wrong_clock_may_win_or_lose_but_not_against_itself() {
    let item = topic();
    let wrong = |write: Written| Written {
        clock_is_right: false,
        ..write
    };
    let writes = [
        wrong(wrote((US, SPLIT), (100, 110), &item, set("one"))),
        wrong(wrote((US, SPLIT), (200, 210), &item, set("two"))),
        wrote((EU, SPLIT), (900, 910), &item, set("eu")),
    ];
    for shown in ["two", "eu"] {
        assert_eq!(broken(&writes, &item, &[shown]), []);
    }
    assert_eq!(broken(&writes, &item, &["one"]), [Rule::LastWriter]);
}

#[test]
fn to_write_what_is_there_already_need_not_be_the_last_write() {
    let item = Item::Away(user(1));
    let writes = [
        wrote((US, SPLIT), (100, 110), &item, set("true")),
        wrote((EU, SPLIT), (300, 310), &item, set("false")),
        wrote((US, SPLIT), (500, 510), &item, set("true")),
    ];
    assert_eq!(broken(&writes, &item, &["true"]), []);
    assert_eq!(broken(&writes, &item, &[]), []);
}

#[test]
fn what_is_written_at_the_same_time_is_kept_beside_the_last() {
    let item = purpose();
    let writes = [
        wrote((US, CALM), (10, 20), &item, set("calm")),
        wrote((US, SPLIT), (100, 150), &item, set("us")),
        wrote((EU, SPLIT), (300, 350), &item, set("eu")),
    ];
    assert_eq!(broken(&writes, &item, &["eu", "us"]), []);
    assert_eq!(broken(&writes, &item, &["us", "eu"]), [Rule::LastWriter]);
    for lost in [&["eu"][..], &["us"], &[]] {
        assert_eq!(broken(&writes, &item, lost), [Rule::Lost]);
    }
    let replaced = ["eu", "us", "calm"];
    assert_eq!(broken(&writes, &item, &replaced), [Rule::CameBack]);
    let unheard = ["eu", "us", "x"];
    assert_eq!(broken(&writes, &item, &unheard), [Rule::Unheard]);
}

#[test]
fn of_two_under_way_in_one_place_one_is_kept_or_both() {
    let item = purpose();
    let writes = [
        wrote((US, SPLIT), (100, 150), &item, set("one")),
        wrote((US, SPLIT), (120, 170), &item, set("two")),
    ];
    for kept in [&["one"][..], &["two"], &["one", "two"]] {
        assert_eq!(broken(&writes, &item, kept), []);
    }
    assert_eq!(broken(&writes, &item, &[]), [Rule::Lost]);
}

#[test]
fn a_cursor_is_at_the_highest_mark() {
    let item = Item::ReadCursor {
        user: user(1),
        channel: channel(1),
    };
    let writes = [
        wrote((US, SPLIT), (100, 110), &item, Change::Raise(7)),
        wrote((EU, SPLIT), (900, 910), &item, Change::Raise(3)),
        unanswered(wrote((EU, SPLIT), (950, 951), &item, Change::Raise(9))),
    ];
    for at in ["7", "9"] {
        assert_eq!(broken(&writes, &item, &[at]), []);
    }
    for at in [&["3"][..], &["8"], &[]] {
        assert_eq!(broken(&writes, &item, at), [Rule::Cursor]);
    }
}
