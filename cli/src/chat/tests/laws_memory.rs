//! What is in memory is what the server has, however pages, pushes and the reader
//! come in between each other.

use causeway_protocol::ApiError;
use causeway_protocol::client::response::Result as Body;
use crossterm::event::KeyCode;
use proptest::collection::vec;
use proptest::prelude::*;

use super::laws::config;
use super::stage::Stage;
use super::stories_messages::texts;
use super::world::{BOB, CAROL, World};
use crate::chat::ask::{Ask, Input};

/// What may happen to a channel and its reader while all goes right.
#[derive(Debug, Clone)]
enum Step {
    Post,
    Reply(usize),
    Edit(usize),
    Delete(usize),
    /// The oldest entry that has not come in yet comes in.
    Deliver,
    /// The oldest request under way is read by the server …
    Read,
    /// … and its answer comes in.
    Answer,
    Up(u8),
    Down(u8),
    Escape,
    Away,
}

fn a_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Post),
        1 => any::<usize>().prop_map(Step::Reply),
        2 => any::<usize>().prop_map(Step::Edit),
        2 => any::<usize>().prop_map(Step::Delete),
        9 => Just(Step::Deliver),
        6 => Just(Step::Read),
        6 => Just(Step::Answer),
        6 => (1..40u8).prop_map(Step::Up),
        3 => (1..40u8).prop_map(Step::Down),
        1 => Just(Step::Escape),
        1 => Just(Step::Away),
    ]
}

/// A server whose log is ahead of what it has pushed.
struct Play {
    stage: Stage,
    delivered: usize,
    asked: Vec<Ask>,
    answered: Vec<(Ask, Result<Body, ApiError>)>,
}

impl Play {
    fn step(&mut self, step: Step) {
        let log = &mut self.stage.world.log;
        let any = |which: usize| {
            let shown: Vec<_> = log.messages.values().filter(|m| !m.deleted).collect();
            shown
                .get(which % shown.len().max(1))
                .map(|m| (m.ts, m.thread_ts))
        };
        match step {
            Step::Post => drop(log.post(CAROL, &format!("post {}", log.entries.len()))),
            Step::Reply(which) => {
                if let Some((ts, thread)) = any(which) {
                    log.reply(CAROL, "reply", if thread == 0 { ts } else { thread });
                }
            }
            Step::Edit(which) => {
                if let Some((ts, _)) = any(which) {
                    let text = format!("edit {}", log.entries.len());
                    log.edit(ts, &text);
                }
            }
            Step::Delete(which) => {
                if let Some((ts, _)) = any(which) {
                    log.delete(ts);
                }
            }
            Step::Deliver => {
                if let Some(entry) = log.entries.get(self.delivered).cloned() {
                    self.delivered += 1;
                    self.stage.push_general(entry);
                }
            }
            Step::Read => {
                if !self.asked.is_empty() {
                    let ask = self.asked.remove(0);
                    let answer = self.stage.world.answer(&ask);
                    self.answered.push((ask, answer));
                }
            }
            Step::Answer => {
                if !self.answered.is_empty() {
                    let (ask, answer) = self.answered.remove(0);
                    self.stage.answer(ask, answer);
                }
            }
            Step::Up(lines) => self.stage.app.scroll_up(lines.into()),
            Step::Down(lines) => self.stage.app.scroll_down(lines.into()),
            Step::Escape => self.stage.press(KeyCode::Esc),
            Step::Away => {
                self.stage.control('n');
                self.stage.control('n');
            }
        }
        self.stage.handle(Input::Tick);
        let asks = self.stage.asks();
        self.asked.extend(asks);
    }

    /// Everything comes in.
    fn settle(&mut self) {
        for _ in 0..3 {
            while self.delivered < self.stage.world.log.entries.len() {
                self.step(Step::Deliver);
            }
            while !self.asked.is_empty() || !self.answered.is_empty() {
                self.step(Step::Read);
                self.step(Step::Answer);
            }
        }
    }
}

proptest! {
    #![proptest_config(config(48))]

    /// The messages in memory are a stretch of the server's, without holes, and
    /// as the server has them.
    #[test]
    fn memory_is_a_stretch_of_the_log(before in 0..2_400usize, steps in vec(a_step(), 1..250)) {
        let mut world = World::default();
        for n in 0..before {
            world.log.post(BOB, &format!("message {n}"));
        }
        let mut stage = Stage::set(world);
        stage.resize(80, 60);
        let delivered = stage.world.log.entries.len();
        let mut play = Play { stage, delivered, asked: Vec::new(), answered: Vec::new() };
        for step in steps {
            play.step(step);
        }
        play.settle();
        let timeline = &play.stage.app.channel().unwrap().timeline;
        let known: Vec<_> = timeline.rows().values().filter_map(|row| row.message()).collect();
        let shown: Vec<_> = known.iter().filter(|m| !m.deleted).map(|m| (*m).clone()).collect();
        if let (Some(first), Some(last)) = (known.first(), known.last()) {
            let messages = play.stage.world.log.messages.range(first.ts..=last.ts);
            let wanted: Vec<_> = messages.map(|(_, m)| m.clone()).filter(|m| !m.deleted).collect();
            prop_assert_eq!(shown, wanted);
        }

        // And back at the newest, that is the end of the log.
        play.stage.app.jump_to_bottom();
        play.stage.handle(Input::Tick);
        play.stage.answer_all();
        let newest = play.stage.world.log.messages.values().rfind(|m| !m.deleted);
        let texts: Vec<_> = texts(&play.stage).into_iter().filter(|t| !t.is_empty()).collect();
        prop_assert_eq!(texts.last(), newest.map(|m| &m.text));
    }
}
