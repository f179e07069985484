//! How many streams are open, per holder: each reads the store with every commit, so their number is bounded, and no holder
//! may have all of them. A tenant is one holder, whatever its tokens.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// At once: each reads the store up to 20 times a second while there is something new.
pub(crate) const STREAMS_MAX: usize = 64;

/// Of all tenants together: a quarter is left to tokens without a tenant.
const OF_TENANTS_MAX: usize = 48;

/// Of one tenant: a page for each of some people.
const OF_A_TENANT_MAX: usize = 8;

/// Of one token of the whole server: half.
const OF_A_TOKEN_MAX: usize = 32;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Holder {
    Tenant(Arc<str>),
    Token(Arc<str>),
}

/// What is full. The reader may poll instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Full {
    #[error("{STREAMS_MAX} streams are open, which is the most: close one, or try again")]
    All,
    #[error("this tenant has {OF_A_TENANT_MAX} streams open, which is its most: close one, or try again")]
    Tenant,
    #[error("tenants have {OF_TENANTS_MAX} streams open, which is the most of all of them: try again")]
    Tenants,
    #[error("this token has {OF_A_TOKEN_MAX} streams open, which is its most: close one, or try again")]
    Token,
}

#[derive(Default)]
pub(crate) struct StreamSlots(Mutex<Taken>);

#[derive(Default)]
struct Taken {
    all: usize,
    of_tenants: usize,
    of: HashMap<Holder, usize>,
}

/// Given back when dropped.
pub(super) struct StreamSlot {
    slots: Arc<StreamSlots>,
    holder: Holder,
}

impl StreamSlots {
    pub(super) fn take(self: &Arc<Self>, holder: Holder) -> Result<StreamSlot, Full> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = taken.of.get(&holder).copied().unwrap_or_default();
        let is_tenant = match &holder {
            Holder::Tenant(_) if own >= OF_A_TENANT_MAX => return Err(Full::Tenant),
            Holder::Tenant(_) if taken.of_tenants >= OF_TENANTS_MAX => return Err(Full::Tenants),
            Holder::Token(_) if own >= OF_A_TOKEN_MAX => return Err(Full::Token),
            holder => matches!(holder, Holder::Tenant(_)),
        };
        if taken.all >= STREAMS_MAX {
            return Err(Full::All);
        }
        taken.all += 1;
        taken.of_tenants += usize::from(is_tenant);
        taken.of.insert(holder.clone(), own + 1);
        Ok(StreamSlot { slots: Arc::clone(self), holder })
    }
}

impl Drop for StreamSlot {
    fn drop(&mut self) {
        let mut taken = self.slots.0.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all -= 1;
        taken.of_tenants -= usize::from(matches!(self.holder, Holder::Tenant(_)));
        if let Some(own) = taken.of.get_mut(&self.holder) {
            *own -= 1;
            if *own == 0 {
                taken.of.remove(&self.holder);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As many as there are, and why there are no more.
    fn all(slots: &Arc<StreamSlots>, holder: &Holder) -> (Vec<StreamSlot>, Full) {
        let mut taken = Vec::new();
        loop {
            match slots.take(holder.clone()) {
                Ok(slot) => taken.push(slot),
                Err(full) => return (taken, full),
            }
        }
    }

    #[test]
    fn tenants_leave_slots_to_each_other_and_to_the_server() {
        let slots = Arc::new(StreamSlots::default());
        let tenant = |name: &str| Holder::Tenant(name.into());
        let (acme, full) = all(&slots, &tenant("acme"));
        assert_eq!((acme.len(), full), (OF_A_TENANT_MAX, Full::Tenant));
        let others: Vec<_> = (0..5).map(|n| all(&slots, &tenant(&format!("t{n}")))).collect();
        assert_eq!(others.iter().map(|(taken, _)| taken.len()).sum::<usize>(), OF_TENANTS_MAX - OF_A_TENANT_MAX);
        assert_eq!(all(&slots, &tenant("late")).1, Full::Tenants);
        let (boss, full) = all(&slots, &Holder::Token("boss".into()));
        assert_eq!((boss.len(), full), (STREAMS_MAX - OF_TENANTS_MAX, Full::All));
        drop(acme);
        let (late, full) = all(&slots, &tenant("late"));
        assert_eq!((late.len(), full), (OF_A_TENANT_MAX, Full::Tenant), "slots are returned");
        drop((others, boss, late));
        assert_eq!(all(&slots, &Holder::Token("boss".into())).0.len(), OF_A_TOKEN_MAX);
        assert!(slots.0.lock().unwrap().of.is_empty(), "a holder without streams has no entry");
    }
}
