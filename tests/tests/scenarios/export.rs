//! A Slack export for the scenarios, made from a seed.

use std::path::Path;

use serde_json::json;

/// Texts of many scripts and lengths.
const TEXTS: [&str; 8] = [
    "hello",
    "海は広いな大きいな",
    "مرحبا بالعالم",
    "👩‍👩‍👧‍👦 family",
    "e\u{301}t\u{e9}",
    "tabs\tand\nlines",
    "<@U0001> & <https://example.com|a link>",
    "\u{202e}right to left\u{202c}",
];

/// Writes an export of `channels` channels with `messages` messages each, by
/// `users` users, and returns how many messages there are in all.
pub fn write(folder: &Path, users: usize, channels: usize, messages: usize) -> usize {
    std::fs::create_dir_all(folder).expect("a folder");
    let id = |user: usize| format!("U{user:04}");
    let people: Vec<_> = (0..users)
        .map(|user| json!({"id": id(user), "name": format!("user.{user}"), "real_name": ""}))
        .collect();
    let rooms: Vec<_> = (0..channels)
        .map(|channel| {
            // The first channel has everybody, the others a part.
            let members = (0..users).filter(|user| channel == 0 || user % channels == channel);
            let members: Vec<_> = members.map(id).collect();
            json!({"name": format!("channel-{channel}"), "members": members})
        })
        .collect();
    write_json(&folder.join("users.json"), &json!(people));
    write_json(&folder.join("channels.json"), &json!(rooms));
    for channel in 0..channels {
        let days = folder.join(format!("channel-{channel}"));
        std::fs::create_dir_all(&days).expect("a folder");
        let day: Vec<_> = (0..messages)
            .map(|n| {
                let text = match n % 50 {
                    49 => "x".repeat(40_000),
                    _ => format!("{} {channel}/{n}", TEXTS[(n + channel) % TEXTS.len()]),
                };
                json!({
                    "type": "message",
                    "user": id((n * 7 + channel) % users),
                    "text": text,
                    "ts": format!("{}.{:06}", 1_400_000_000 + n, channel),
                })
            })
            .collect();
        write_json(&days.join("2014-05-13.json"), &json!(day));
    }
    channels * messages
}

fn write_json(path: &Path, value: &serde_json::Value) {
    std::fs::write(path, value.to_string()).expect("writable");
}
