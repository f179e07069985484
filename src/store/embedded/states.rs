//! The numbers of delivery states within SQL: from the enum, nowhere written by themselves.

use std::sync::LazyLock;

use super::read::is_indexed;
use crate::model::DeliveryState;

/// SQL with the states' numbers: `:pending` and so on for one of them, `:waiting`, `:open`, `:ended` and `:indexed` for lists.
/// `:indexed` is the condition of the partial indexes, without which SQLite does not use them.
pub(super) fn with_states(sql: &str) -> String {
    static NAMES: LazyLock<Vec<(String, String)>> = LazyLock::new(|| {
        let list = |is_in: fn(DeliveryState) -> bool| {
            let numbers = DeliveryState::ALL.into_iter().filter(|state| is_in(*state)).map(|state| (state as u8).to_string());
            format!("({})", numbers.collect::<Vec<_>>().join(", "))
        };
        let one = |state: DeliveryState| (format!(":{}", state.name()), (state as u8).to_string());
        let lists = [
            (":waiting", list(|state| matches!(state, DeliveryState::Pending | DeliveryState::Retrying))),
            (":open", list(DeliveryState::is_open)),
            (":ended", list(|state| !state.is_open())),
            (":indexed", list(is_indexed)),
        ];
        DeliveryState::ALL.into_iter().map(one).chain(lists.map(|(name, list)| (name.to_owned(), list))).collect()
    });
    NAMES.iter().fold(sql.to_owned(), |sql, (name, numbers)| sql.replace(name, numbers))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::embedded::schema::SCHEMA;

    #[test]
    fn the_partial_indexes_have_the_condition_that_queries_repeat() {
        let condition = with_states("WHERE state IN :indexed");
        assert_eq!(SCHEMA.matches(&condition).count(), 2, "{condition}");
        assert_eq!(with_states("state = :held OR state IN :open"), "state = 2 OR state IN (0, 1, 2)");
    }
}
