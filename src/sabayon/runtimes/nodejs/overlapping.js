// What is of one run alone while several overlap: its `__OW_*` variables, and the lines it prints.
//
// Both follow the asynchronous context of the code that asks or prints. Child processes and what writes to the
// descriptors by other ways (`fs.writeSync`) print lines without a mark.
'use strict';

const { AsyncLocalStorage } = require('node:async_hooks');

const OF_ONE_RUN = ['__OW_ACTIVATION_ID', '__OW_TRANSACTION_ID', '__OW_DEADLINE'];
const NEWLINE = Buffer.from('\n');
const MARK = 9;
const MOST = 65536 - MARK; // longer lines go out in pieces: the reader cuts them too, and would leave the rest without a mark

/** Keeps runs apart. Made before the action is loaded, which may hold on to `process.env` and to the streams it finds. */
class Runs {
  constructor() {
    this.storage = new AsyncLocalStorage();
    process.env.__OW_ALLOW_CONCURRENT = 'true';
    markOutput(this.storage);
    divideEnvironment(this.storage);
  }

  /** The action is loaded: what was said of the run that had it loaded is of no other run. */
  begin() {
    for (const name of OF_ONE_RUN) delete process.env[name];
  }

  /** What `work` comes to, as the work of run `number`. */
  run(number, request, work) {
    const run = new Run(number, variables(request));
    return this.storage.run(run, async () => {
      const result = await work();
      run.finish();
      return result;
    });
  }
}

/** One run in flight, when several overlap: its variables, and what it printed since its last whole line. */
class Run {
  constructor(number, environment) {
    this.environment = environment;
    this.mark = Buffer.from(`\0${number.toString(16).padStart(8, '0')}`);
    this.held = new Map();
  }

  /** Writes whole lines, each with the mark of this run; what is no whole line yet is held. */
  print(output, data) {
    const held = Buffer.concat([this.held.get(output) || Buffer.alloc(0), data]);
    let end = held.lastIndexOf(NEWLINE);
    if (end < 0 && held.length > MOST) {
      end = Math.floor((held.length - 1) / MOST) * MOST;
      this.held.set(output, held.subarray(end));
    } else {
      this.held.set(output, held.subarray(end + 1));
    }
    return end < 0 || output.write(this.marked(held.subarray(0, end)));
  }

  marked(text) {
    const parts = [];
    for (let at = 0; at <= text.length; ) {
      const found = text.indexOf(NEWLINE, at);
      const end = found < 0 ? text.length : found;
      const cut = Math.min(end, at + MOST);
      parts.push(this.mark, text.subarray(at, cut), NEWLINE);
      at = cut < end ? cut : end + 1;
    }
    return Buffer.concat(parts);
  }

  /** The run is about to be answered: write what is held. */
  finish() {
    for (const [{ stream, write }, held] of this.held) if (held.length && stream.writable) write(this.marked(held));
    this.held.clear();
  }
}

/** From now on each line that is printed by a run names it. */
function markOutput(runs) {
  for (const stream of [process.stdout, process.stderr]) {
    const write = stream.write.bind(stream);
    const output = { stream, write };
    stream.write = (chunk, encoding, done) => {
      const run = runs.getStore();
      if (!run) return write(chunk, encoding, done);
      const data = typeof chunk === 'string' ? Buffer.from(chunk, typeof encoding === 'string' ? encoding : 'utf8') : chunk;
      const isTaken = run.print(output, Buffer.from(data));
      const callback = typeof encoding === 'function' ? encoding : done;
      if (callback) process.nextTick(callback);
      return isTaken;
    };
  }
}

/** From now on `process.env` answers each run with its own variables before those of the process. */
function divideEnvironment(runs) {
  const own = (key) => {
    const run = runs.getStore();
    return run && Object.hasOwn(run.environment, key) ? run.environment : null;
  };
  process.env = new Proxy(process.env, {
    get: (target, key) => (own(key) || target)[key],
    has: (target, key) => own(key) !== null || key in target,
    set: (target, key, item) => Reflect.set(own(key) || target, key, own(key) ? `${item}` : item),
    deleteProperty: (target, key) => delete (own(key) || target)[key],
    ownKeys: (target) => [...new Set([...Object.keys(runs.getStore()?.environment || {}), ...Reflect.ownKeys(target)])],
    getOwnPropertyDescriptor: (target, key) => Object.getOwnPropertyDescriptor(own(key) || target, key),
  });
}

/** The environment of a run: every text beside its arguments. */
function variables(request) {
  const texts = Object.entries(request).filter(([key, item]) => key !== 'value' && typeof item === 'string');
  return Object.fromEntries(texts.map(([key, item]) => [`__OW_${key.toUpperCase()}`, item]));
}

module.exports = { Runs };
