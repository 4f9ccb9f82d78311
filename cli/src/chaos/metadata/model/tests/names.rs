use super::*;

fn name(n: u32) -> Item {
    Item::Name(channel(n))
}

/// Channels 1 and 2, created as `one` and `two`.
fn created() -> Created {
    Created::from([("one".into(), channel(1)), ("two".into(), channel(2))])
}

fn start() -> Vec<Written> {
    let first = |n, text: &str| Written {
        region: None,
        ..wrote((US, 0), (0, 0), &name(n), set(text))
    };
    vec![first(1, "one"), first(2, "two")]
}

fn with_id(text: &str, n: u32) -> String {
    format!("{text}-{}", channel(n)).to_lowercase()
}

fn rules(writes: &[Written], one: &str, two: &str) -> Vec<Rule> {
    let writes = [&start()[..], writes].concat();
    let state = State::from([(name(1), texts(&[one])), (name(2), texts(&[two]))]);
    broken_in(&writes, &created(), &state)
}

#[test]
fn a_channel_has_the_last_name_that_it_was_given() {
    let writes = [wrote((US, SPLIT), (100, 110), &name(1), set("new"))];
    assert_eq!(rules(&[], "one", "two"), []);
    assert_eq!(rules(&writes, "new", "two"), []);
    assert_eq!(rules(&writes, "one", "two"), [Rule::LastWriter]);
    assert_eq!(rules(&writes, "other", "two"), [Rule::Unheard]);
}

#[test]
fn of_two_with_one_name_the_first_keeps_it() {
    let writes = [
        wrote((US, SPLIT), (100, 110), &name(1), set("new")),
        wrote((EU, SPLIT), (300, 310), &name(2), set("new")),
    ];
    let (first, second) = (with_id("new", 1), with_id("new", 2));
    assert_eq!(rules(&writes, "new", &second), []);
    assert_eq!(rules(&writes, "new", "new"), [Rule::Name]);
    assert_eq!(rules(&writes, &first, "new"), [Rule::Name]);
    assert_eq!(rules(&writes, &first, &second), [Rule::Name]);
}

#[test]
fn of_two_at_the_same_time_either_keeps_it() {
    let writes = [
        wrote((US, SPLIT), (100, 150), &name(1), set("new")),
        wrote((EU, SPLIT), (120, 170), &name(2), set("new")),
    ];
    assert_eq!(rules(&writes, "new", &with_id("new", 2)), []);
    assert_eq!(rules(&writes, &with_id("new", 1), "new"), []);
}

#[test]
fn nobody_else_gets_a_name_that_a_channel_was_created_with() {
    let writes = [
        wrote((US, SPLIT), (100, 110), &name(1), set("new")),
        wrote((EU, SPLIT), (300, 310), &name(2), set("one")),
    ];
    assert_eq!(rules(&writes, "new", &with_id("one", 2)), []);
    assert_eq!(rules(&writes, "new", "one"), [Rule::Name]);
}

#[test]
fn a_channel_is_called_something() {
    let state = State::from([(name(1), texts(&["one"]))]);
    assert_eq!(broken_in(&start(), &created(), &state), [Rule::Lost]);
}
