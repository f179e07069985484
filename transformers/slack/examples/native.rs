//! The same function that the component exports, called natively: what `benches/transform.rs` compares the host with.
//! Reads the event's data from the first argument; prints the median and the fastest of the calls in nanoseconds.

use std::hint::black_box;
use std::time::Instant;

use slack::Slack;
use tenterhook_transformer::{Event, Transformer, check_options};

const CALLS: usize = 20_000;

fn main() {
    let data = std::env::args().nth(1).unwrap_or_else(|| "{}".to_owned());
    let mut nanos: Vec<u128> = (0..CALLS)
        .map(|_| {
            let started = Instant::now();
            // As through the border: the texts are copied in, the options are read, the result is handed out.
            let event = Event {
                id: "evt_0198f0d0c0de7000800000000000beef".to_owned(),
                type_: "circuit_breaker.opened".to_owned(),
                timestamp: "2026-01-28T10:30:45.123Z".to_owned(),
                data: black_box(&data).clone(),
                metadata: None,
                tenant: None,
            };
            let options = check_options::<Slack>(black_box("{}")).expect("no options are good options");
            black_box(Slack::transform(&[event], &options)).expect("slack renders every event");
            started.elapsed().as_nanos()
        })
        .collect();
    nanos.sort_unstable();
    println!("{} {}", nanos[CALLS / 2], nanos[0]);
}
