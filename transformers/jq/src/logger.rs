//! What `debug` and `stderr` say goes into the attempt's log.

use tenterhook_transformer::Level;

struct Forward;

static FORWARD: Forward = Forward;

pub fn install() {
    // Fails where one is installed: in native tests, by another thread.
    if log::set_logger(&FORWARD).is_ok() {
        log::set_max_level(log::LevelFilter::Debug);
    }
}

impl log::Log for Forward {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let level = match record.level() {
            log::Level::Error => Level::Error,
            log::Level::Warn => Level::Warn,
            log::Level::Info => Level::Info,
            log::Level::Debug | log::Level::Trace => Level::Debug,
        };
        tenterhook_transformer::log(level, record.args());
    }

    fn flush(&self) {}
}
