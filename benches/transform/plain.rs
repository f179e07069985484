//! The same formatter in plain wasmtime: instances on demand, no limits, no pool, no log, synchronous. What a host that is
//! written in an afternoon costs.

use tenterhook::model::Event;
use wasmtime::component::{Component, HasSelf, Linker, ResourceTable};
use wasmtime::{Config, Engine, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

mod generated {
    wasmtime::component::bindgen!({ path: "wit/1.1.0", world: "transformer" });
}

use generated::tenterhook::transformer::{host, types};
use generated::{Transformer, TransformerPre};

struct State(WasiCtx, ResourceTable);

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.0, table: &mut self.1 }
    }
}

impl types::Host for State {}

impl host::Host for State {
    fn log(&mut self, _: host::Level, _: String) {}
}

/// Measures a fresh instance for each call, and one for all.
pub fn report(event: &Event, measure: &dyn Fn(&str, &dyn Fn())) {
    let Some(wasm) = tenterhook::transform::prebuilt("slack") else { return };
    let engine = Engine::new(&Config::new()).expect("an engine");
    let component = Component::from_binary(&engine, wasm).expect("a component");
    let mut linker: Linker<State> = Linker::new(&engine);
    wasmtime_wasi::p2::add_to_linker_sync(&mut linker).expect("WASI");
    Transformer::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state).expect("the host");
    let pre = TransformerPre::new(linker.instantiate_pre(&component).expect("its imports")).expect("its exports");
    let events = [types::Event {
        id: event.id.as_str().to_owned(),
        type_: event.kind.as_str().to_owned(),
        timestamp: event.timestamp.to_string(),
        data: String::from_utf8(event.data.to_vec()).expect("text"),
        metadata: None,
        tenant: None,
    }];
    let store = || Store::new(&engine, State(WasiCtx::builder().build(), ResourceTable::new()));
    measure("plain wasmtime, fresh", &|| {
        let mut store = store();
        let instance = pre.instantiate(&mut store).expect("an instance");
        drop(instance.call_transform(&mut store, &events, "{}").expect("no trap").expect("it renders"));
    });
    let mut store = store();
    let instance = pre.instantiate(&mut store).expect("an instance");
    let store = std::cell::RefCell::new(store);
    measure("plain wasmtime, re-used", &|| {
        drop(instance.call_transform(&mut *store.borrow_mut(), &events, "{}").expect("no trap").expect("it renders"));
    });
}
