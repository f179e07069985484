// The border between Tenterhook and transformer.ts, and the interface of wit/1.1.0/transformer.wit: usually nothing to
// change here. Values cross as the component model's canonical ABI lays them out in memory.
import { check as ownCheck, describe as ownDescribe, transform as ownTransform } from "./transformer";
import { Event, Outcome } from "./interface";

let buffers: ArrayBuffer[] = [];

/// Where the host puts what it passes in; kept, since nothing else refers to it.
export function cabi_realloc(old: usize, oldSize: usize, align: usize, size: usize): usize {
  const buffer = new ArrayBuffer(<i32>size);
  buffers.push(buffer);
  const at = changetype<usize>(buffer);
  if (oldSize > 0) memory.copy(at, old, min(oldSize, size));
  return at;
}

function read(at: usize): string {
  return String.UTF8.decodeUnsafe(load<usize>(at), load<usize>(at, 4));
}

function readMaybe(at: usize): string | null {
  return load<u8>(at) == 0 ? null : read(at + 4);
}

function write(at: usize, text: string): void {
  const bytes = String.UTF8.encode(text);
  buffers.push(bytes);
  store<usize>(at, changetype<usize>(bytes));
  store<i32>(at, bytes.byteLength, 4);
}

function writeMaybe(at: usize, text: string | null): void {
  store<u8>(at, text === null ? 0 : 1);
  if (text !== null) write(at + 4, text);
}

function zeroed(size: i32): usize {
  const buffer = new ArrayBuffer(size);
  buffers.push(buffer);
  return changetype<usize>(buffer);
}

export function describe(): usize {
  const made = ownDescribe();
  const at = zeroed(32);
  write(at, made.name);
  write(at + 8, made.version);
  write(at + 16, made.summary);
  write(at + 24, made.optionsSchema);
  return at;
}

export function check(options: usize, length: usize): usize {
  const error = ownCheck(String.UTF8.decodeUnsafe(options, length));
  const at = zeroed(12);
  writeMaybe(at, error);
  return at;
}

export function transform(events: usize, count: usize, options: usize, length: usize): usize {
  const given: Event[] = [];
  for (let i: usize = 0; i < count; i++) {
    const at = events + i * 56;
    given.push(new Event(read(at), read(at + 8), read(at + 16), read(at + 24), readMaybe(at + 32), readMaybe(at + 44)));
  }
  const outcome = ownTransform(given, String.UTF8.decodeUnsafe(options, length));
  // The result's tag at 0, the outcome's at 4, its payload from 8 on.
  const at = zeroed(64);
  if (outcome.error !== null) {
    store<u8>(at, 1);
    write(at + 4, outcome.error!);
    return at;
  }
  if (outcome.drop !== null) {
    store<u8>(at, 3, 4);
    write(at + 8, outcome.drop!);
    return at;
  }
  store<u8>(at, 2, 4);
  write(at + 12, outcome.body);
  const headers = outcome.headers;
  const list = zeroed(16 * headers.length);
  for (let i = 0; i < headers.length; i++) {
    write(list + 16 * i, headers[i][0]);
    write(list + 16 * i + 8, headers[i][1]);
  }
  store<usize>(at, list, 20);
  store<i32>(at, headers.length, 24);
  writeMaybe(at + 28, outcome.method);
  writeMaybe(at + 40, outcome.url);
  return at;
}
