//! A webhook's transformers, one after the other.

use std::sync::Arc;
use std::time::Duration;

use super::{EventInput, Module, Output, TransformError, Transformed};
use crate::model::{Event, LogLine};

/// A webhook's stages in order: each a module with its options as JSON text.
#[derive(Debug, Clone)]
pub struct Pipeline {
    pub stages: Vec<(Arc<Module>, Arc<str>)>,
}

impl Pipeline {
    /// Runs the stages over one event. A stage's event (or events) replaces it for the next one; a request must come from
    /// the last stage; a drop ends. [`Output::Event`] means that the body is that event's envelope.
    pub async fn run(&self, event: &Event) -> Transformed {
        self.run_stages(&[event], |_, _, _| {}).await
    }

    /// As [`Self::run`], over the events of a batch: the first stage gets them all. Never none.
    pub async fn run_batch(&self, events: &[Arc<Event>]) -> Transformed {
        let events: Vec<&Event> = events.iter().map(AsRef::as_ref).collect();
        self.run_stages(&events, |_, _, _| {}).await
    }

    /// As [`Self::run_batch`]; `observe` hears of each stage's call: the module's name, how long it took, whether it failed.
    pub async fn run_observed(&self, events: &[&Event], observe: impl FnMut(&str, Duration, bool)) -> Transformed {
        self.run_stages(events, observe).await
    }

    async fn run_stages(&self, events: &[&Event], mut observe: impl FnMut(&str, Duration, bool)) -> Transformed {
        let mut log = Vec::new();
        let mut duration = Duration::ZERO;
        let mut memory = 0;
        let mut current: Option<Vec<Event>> = None;
        for (index, (module, options)) in self.stages.iter().enumerate() {
            let inputs: Vec<EventInput<'_>> = match &current {
                Some(events) => events.iter().map(EventInput::from).collect(),
                None => events.iter().map(|event| EventInput::from(*event)).collect(),
            };
            let done = module.transform(&inputs, options).await;
            observe(module.name(), done.duration, done.result.is_err());
            duration += done.duration;
            memory = done.memory.max(memory);
            log.extend(self.named(module, done.log));
            let next = self.stages.get(index + 1).map(|(next, _)| next);
            let result = match (done.result, next) {
                (Ok(Output::Event(event)), Some(_)) => {
                    current = Some(vec![*event]);
                    continue;
                }
                (Ok(Output::Events(events)), Some(_)) => {
                    current = Some(events);
                    continue;
                }
                (Ok(Output::Request(_)), Some(next)) => {
                    Err(TransformError::NotLast { module: module.name().to_owned(), next: next.name().to_owned() })
                }
                (result, _) => result,
            };
            return Transformed { result, log, memory, duration };
        }
        Transformed { result: Err(TransformError::NoStage), log, memory, duration }
    }

    /// Where there are several modules, a line of the log says whose it is.
    fn named(&self, module: &Module, lines: Vec<LogLine>) -> impl Iterator<Item = LogLine> {
        let prefix = if self.stages.len() > 1 { format!("{}: ", module.name()) } else { String::new() };
        lines.into_iter().map(move |line| LogLine { level: line.level, message: format!("{prefix}{}", line.message) })
    }
}
