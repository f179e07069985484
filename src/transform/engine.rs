//! The wasmtime engine: one for all modules. Instances come from a pool, time is counted in epochs.

use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::HostError;

/// Parts of one component: the smallest numbers that the JavaScript and Python toolchains' components load with, doubled.
const CORE_INSTANCES_MAX: u32 = 128;
const MEMORIES_MAX: u32 = 8;
const TABLES_MAX: u32 = 16;

/// What Python's interpreter needs, rounded up; shared with the on-demand limiter.
pub(super) const TABLE_ELEMENTS_MAX: usize = 20_000;

/// Metadata of one instance; QuickJS and CPython need more than the default 1 MiB.
const INSTANCE_SIZE_MAX: usize = 4 << 20;

/// A Rust formatter dirties about 1.2 MB: below this, a slot is wiped in user space and not given back to the system,
/// which is most of the difference between 46 and 26 µs a call.
const MEMORY_KEEP_RESIDENT: usize = 2 << 20;
const TABLE_KEEP_RESIDENT: usize = 256 << 10;

/// With a pool of `instances_max` slots; without one where the system does not let so much address space be reserved.
pub(super) fn build(instances_max: u32) -> Result<Engine, HostError> {
    let pooled = config(Some(instances_max));
    match Engine::new(&pooled) {
        Ok(engine) => Ok(engine),
        Err(error) => {
            tracing::warn!(%error, "cannot reserve the transformers' pool of instances, going on without: calls take longer");
            build_without_pool()
        }
    }
}

pub(super) fn build_without_pool() -> Result<Engine, HostError> {
    Engine::new(&config(None)).map_err(|error| HostError::Engine(format!("{error:#}")))
}

fn config(instances_max: Option<u32>) -> Config {
    let mut config = Config::new();
    config.epoch_interruption(true);
    // One call at a time in a store: the machinery for more would only be initialised.
    config.concurrency_support(false);
    config.wasm_backtrace_max_frames(std::num::NonZeroUsize::new(8));
    if let Some(instances_max) = instances_max {
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(instances_max)));
    }
    config
}

fn pool(instances_max: u32) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    // Room for every part of every instance: one greedy module cannot use up another's share.
    pool.total_component_instances(instances_max)
        .total_core_instances(instances_max.saturating_mul(CORE_INSTANCES_MAX))
        .total_memories(instances_max.saturating_mul(MEMORIES_MAX))
        .total_tables(instances_max.saturating_mul(TABLES_MAX))
        .total_stacks(instances_max)
        .max_unused_warm_slots(instances_max)
        .max_core_instances_per_component(CORE_INSTANCES_MAX)
        .max_memories_per_component(MEMORIES_MAX)
        .max_tables_per_component(TABLES_MAX)
        .max_memories_per_module(MEMORIES_MAX)
        .max_tables_per_module(TABLES_MAX)
        .max_core_instance_size(INSTANCE_SIZE_MAX)
        .max_component_instance_size(INSTANCE_SIZE_MAX)
        .table_elements(TABLE_ELEMENTS_MAX)
        .linear_memory_keep_resident(MEMORY_KEEP_RESIDENT)
        .table_keep_resident(TABLE_KEEP_RESIDENT)
        .pagemap_scan(Enabled::Auto);
    pool
}
