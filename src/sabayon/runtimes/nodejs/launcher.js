// Runs JavaScript actions: code once, then activations, over frames on descriptor 3.
//
// Node.js only, no packages. A frame from the platform is a length (u32, big endian), a kind, a number (u32) and the JSON
// of the contract's `/init` (kind `I`, or `C` when runs may overlap) or `/run` (`R`); a reply is a length, a status (u16),
// the number of its question and JSON. A first, empty reply says that questions can be taken. Standard output and error
// are pipes, made to block when they are full, so what was written before a reply can be read when it arrives.
//
// Kind `P` has an archive unpacked that this process will not run; `L` says that the archive of the init to come is
// unpacked already, by such a process.
'use strict';

const fs = require('node:fs');
const net = require('node:net');
const path = require('node:path');
const util = require('node:util');
const vm = require('node:vm');
const zlib = require('node:zlib');
const { createRequire } = require('node:module');

const FRAMES = 3;
const HEAD = 9;
const INIT_SHARED = 0x43;
const PREPARE = 0x50;
const PLACED = 0x4c;
const RUN = 0x52;
const SHARED = 202; // initialized, and runs overlap from now on
const ACTION = '/action/code';
const NO_CODE = 'Missing main/no code to execute.';
const TWICE = 'Cannot initialize the action more than once.';
const NOT_INITIALIZED = 'System not initialized.';
const BAD_ARCHIVE = 'There was an error uncompressing the action Zip archive.';
const UNKNOWN_ARCHIVE = 'There was an error uncompressing the action archive. The file type is unsupported';
const NO_ENTRY = 'Zipped actions must contain either package.json or index.js at the root.';
const NO_DICTIONARY = 'Internal system error: the argument must be a dictionary but has type';
const NO_RESULT = 'The action did not return a dictionary.';

const reply = (status, value) => ({ status, body: Buffer.from(JSON.stringify(value)) });
const failure = (status, text) => reply(status, { error: text });

/** Serves frames until the other end closes: one after the other, or, once runs overlap, each as it comes. */
function serve(socket) {
  let pending = [];
  let available = 0;
  let wanted = HEAD;
  let chain = Promise.resolve();
  const launcher = new Launcher();

  socket.on('data', (chunk) => {
    pending.push(chunk);
    available += chunk.length;
    while (available >= wanted) {
      const data = pending.length === 1 ? pending[0] : Buffer.concat(pending);
      if (wanted === HEAD) wanted += data.readUInt32BE(0);
      if (data.length < wanted) {
        pending = [data];
        continue;
      }
      const frame = data.subarray(0, wanted);
      pending = [data.subarray(wanted)];
      available = data.length - wanted;
      wanted = HEAD;
      const answered = () => answer(launcher, frame).then((result) => send(socket, frame.readUInt32BE(5), result));
      if (launcher.runs) answered();
      else chain = chain.then(answered);
    }
  });
  socket.on('error', () => process.exit(1));
  socket.on('close', () => process.exit(0));
  send(socket, 0, { status: 200, body: Buffer.alloc(0) });
}

async function answer(launcher, frame) {
  const request = JSON.parse(frame.subarray(HEAD).toString());
  if (frame[4] === PREPARE) return prepared(request.value.code);
  if (frame[4] === PLACED) return launcher.place();
  if (frame[4] !== RUN) return launcher.init(request.value || {}, frame[4] === INIT_SHARED);
  return launcher.runs
    ? launcher.runs.run(frame.readUInt32BE(5), request, () => launcher.call(request.value))
    : launcher.run(request);
}

/** Unpacks an archive for other processes to load. */
function prepared(code) {
  try {
    unpack(code);
    return reply(200, {});
  } catch (error) {
    return failure(502, String(error));
  }
}

function send(socket, number, { status, body }) {
  const head = Buffer.alloc(10);
  head.writeUInt32BE(body.length, 0);
  head.writeUInt16BE(status, 4);
  head.writeUInt32BE(number, 6);
  socket.write(Buffer.concat([head, body]));
}

/** One action: ready for code, then for runs, or stopped by an error. `runs` keeps runs that overlap apart. */
class Launcher {
  constructor() {
    this.status = 'ready';
    this.main = null;
    this.runs = null;
    this.isPlaced = false;
  }

  /** The archive is in its folder. */
  place() {
    this.isPlaced = true;
    return reply(200, {});
  }

  async init(value, mayOverlap) {
    if (this.main) {
      console.error(TWICE);
      return failure(403, TWICE);
    }
    if (this.status !== 'ready') return failure(403, `System not ready, status is ${this.status}.`);
    const hasCode = this.isPlaced || (typeof value.code === 'string' && value.code);
    if (!hasCode || !value.main) return failure(403, NO_CODE);
    this.status = 'starting';
    const runs = mayOverlap ? new (require('./overlapping.js').Runs)() : null;
    for (const [key, item] of Object.entries(value.env || {})) process.env[key] = textOf(item);
    try {
      if (value.binary && !this.isPlaced) unpack(value.code);
      this.main = value.binary ? await loadArchive(value.main) : loadText(value.code, value.main);
      if (typeof this.main !== 'function') throw `Action entrypoint '${value.main}' is not a function.`;
      this.status = 'ready';
      if (runs) runs.begin();
      this.runs = runs;
      return reply(runs ? SHARED : 200, { OK: true });
    } catch (error) {
      this.main = null;
      this.status = 'stopped';
      const reason = String(withoutOurs(error));
      console.error('Error during initialization:', reason);
      return failure(502, `Initialization has failed due to: ${reason}`);
    }
  }

  async run(request) {
    if (this.status !== 'ready') return failure(403, `System not ready, status is ${this.status}.`);
    if (!this.main) return failure(403, NOT_INITIALIZED);
    for (const [key, item] of Object.entries(request)) {
      if (key !== 'value' && typeof item === 'string') process.env[`__OW_${key.toUpperCase()}`] = item;
    }
    this.status = 'running';
    const result = await this.call(request.value);
    this.status = result.isThrown ? 'stopped' : 'ready';
    return result;
  }

  /** Calls the function. `isThrown`: it threw before there was a promise. */
  async call(value) {
    const args = value === undefined || value === null ? {} : value;
    if (typeof args !== 'object') return failure(403, `${NO_DICTIONARY} '${typeof args}'.`);
    let outcome;
    try {
      outcome = this.main(args);
    } catch (error) {
      console.error(withoutOurs(error));
      return { ...failure(502, `An error has occurred: ${error}`), isThrown: true };
    }
    try {
      return encoded(await outcome);
    } catch (error) {
      return reply(200, { error: serialized(error) });
    }
  }
}

function encoded(result) {
  if (result === undefined) return reply(200, {});
  let text;
  try {
    text = typeof result === 'object' ? JSON.stringify(result) : undefined;
  } catch (error) {
    console.error(`The result cannot be written as JSON: ${error.message}`);
    return failure(502, NO_RESULT);
  }
  if (text === undefined) {
    console.error(`Result must be of type object but has type "${typeof result}":`, result);
    return failure(502, NO_RESULT);
  }
  return { status: 200, body: Buffer.from(text) };
}

/** What a rejected promise becomes: errors with their name, message and stack, other values as they are. */
function serialized(error) {
  if (!error) return {};
  if (!(error instanceof Error) && !util.types.isNativeError(error)) return safe(error);
  return safe({ name: error.name, message: error.message, stack: withoutOurs(error), ...error });
}

/** An error's stack down to the action's last frame. */
function withoutOurs(error) {
  if (!error || !error.stack) return error;
  return error.stack.split('\n').filter((line) => !/^\s+at .*(\/launcher\/|node:)/.test(line)).join('\n');
}

function safe(value) {
  try {
    return JSON.stringify(value) === undefined ? String(value) : value;
  } catch {
    return String(value);
  }
}

function textOf(item) {
  return typeof item === 'string' ? item : JSON.stringify(item);
}

/** The function that a source text defines: a declaration, a global, or an export. */
function loadText(code, main) {
  const file = path.join(ACTION, 'index.js');
  Object.assign(globalThis, { require: createRequire(file), module: { exports: {} }, __filename: file, __dirname: ACTION });
  globalThis.exports = globalThis.module.exports;
  const found = `(function(){try{return eval(${JSON.stringify(main)})}catch(e){if(e.name==='ReferenceError')` +
    `{return module.exports.${main}||exports.${main}}throw e}})()`;
  const probe = /^[\w$.]+$/.test(main) ? found : 'undefined';
  return vm.runInThisContext(`(function(){${code}\n;return ${probe}\n})`, { filename: file })();
}

/** Extracts an archive of either kind. */
function unpack(code) {
  const data = Buffer.from(code, 'base64');
  if (data.length > 3 && data.readUInt32LE(0) === 0x04034b50) unpackZip(data);
  else if (data.length > 2 && data.readUInt16BE(0) === 0x1f8b) unpackTar(zlib.gunzipSync(data, room()));
  else throw UNKNOWN_ARCHIVE;
}

/** The function that an unpacked archive exports. */
async function loadArchive(main) {
  process.chdir(ACTION);
  const file = path.join(ACTION, 'index.js');
  if (!fs.existsSync(path.join(ACTION, 'package.json')) && !fs.existsSync(file)) throw NO_ENTRY;
  const parts = main.split('.');
  const entry = parts.length > 1 ? path.join(ACTION, parts.shift()) : ACTION;
  let exported = await load(entry, createRequire(file));
  for (const part of parts) exported = exported === undefined || exported === null ? undefined : exported[part];
  return exported;
}

async function load(entry, requireFrom) {
  try {
    return requireFrom(entry);
  } catch (error) {
    if (error.code !== 'ERR_REQUIRE_ESM') throw error;
    const module = await import(requireFrom.resolve(entry));
    return { ...module.default, ...module };
  }
}

/** How much an archive may inflate to: no more than the folder can take. */
function room() {
  const { bavail, bsize } = fs.statfsSync(ACTION);
  return { maxOutputLength: Math.max(1, bavail * bsize) };
}

/** Where an archive's entry goes; refuses what would leave the folder. */
function target(name) {
  const full = path.resolve(ACTION, name);
  if (path.isAbsolute(name) || (full !== ACTION && !full.startsWith(`${ACTION}/`))) throw BAD_ARCHIVE;
  return full;
}

function place(name, data, mode) {
  const full = target(name);
  fs.mkdirSync(path.dirname(full), { recursive: true });
  fs.writeFileSync(full, data, { mode: mode || 0o644 });
}

/** A link inside the folder; npm makes them for executables. */
function link(name, to) {
  const full = target(name);
  target(path.relative(ACTION, path.resolve(path.dirname(full), to)) || '.');
  if (path.isAbsolute(to)) throw BAD_ARCHIVE;
  fs.mkdirSync(path.dirname(full), { recursive: true });
  fs.symlinkSync(to, full);
}

/** Extract a zip archive by its central directory (APPNOTE.TXT 4.3). */
function unpackZip(data) {
  try {
    const end = data.lastIndexOf(Buffer.from([0x50, 0x4b, 5, 6]));
    if (end < 0) throw BAD_ARCHIVE;
    let at = data.readUInt32LE(end + 16);
    for (let count = data.readUInt16LE(end + 10); count > 0; count--) at = unpackEntry(data, at);
  } catch (error) {
    console.error(error);
    throw BAD_ARCHIVE;
  }
}

function unpackEntry(data, at) {
  if (data.readUInt32LE(at) !== 0x02014b50) throw BAD_ARCHIVE;
  const [method, size] = [data.readUInt16LE(at + 10), data.readUInt32LE(at + 20)];
  const [nameSize, extraSize, noteSize] = [data.readUInt16LE(at + 28), data.readUInt16LE(at + 30), data.readUInt16LE(at + 32)];
  const mode = data.readUInt32LE(at + 38) >>> 16;
  const local = data.readUInt32LE(at + 42);
  const name = data.subarray(at + 46, at + 46 + nameSize).toString();
  if (data.readUInt32LE(local) !== 0x04034b50) throw BAD_ARCHIVE;
  const start = local + 30 + data.readUInt16LE(local + 26) + data.readUInt16LE(local + 28);
  const packed = data.subarray(start, start + size);
  if (name.endsWith('/')) fs.mkdirSync(target(name), { recursive: true });
  else if (method !== 0 && method !== 8) throw BAD_ARCHIVE;
  else {
    const content = method === 8 ? zlib.inflateRawSync(packed, room()) : packed;
    if ((mode & 0o170000) === 0o120000) link(name, content.toString());
    else place(name, content, mode & 0o777);
  }
  return at + 46 + nameSize + extraSize + noteSize;
}

/** Extract a tar archive: plain files, folders and links, with ustar prefixes, GNU and pax long names. */
function unpackTar(data) {
  const field = (at, from, size) => data.subarray(at + from, at + from + size).toString().split('\0')[0];
  let longName = '';
  for (let at = 0; at + 512 <= data.length && data[at] !== 0; ) {
    const size = parseInt(field(at, 124, 12).trim() || '0', 8);
    const type = String.fromCharCode(data[at + 156]);
    const content = data.subarray(at + 512, at + 512 + size);
    const prefix = field(at, 345, 155);
    const name = longName || (prefix ? `${prefix}/${field(at, 0, 100)}` : field(at, 0, 100));
    longName = { L: () => content.toString().split('\0')[0], x: () => paxPath(content) }[type]?.() ?? '';
    if (type === '5') fs.mkdirSync(target(name), { recursive: true });
    else if (type === '0' || type === '\0') place(name, content, parseInt(field(at, 100, 8), 8) & 0o777);
    else if (type === '2') link(name, field(at, 157, 100));
    at += 512 + Math.ceil(size / 512) * 512;
  }
}

/** The path in a pax extended header, whose records are `LENGTH KEY=VALUE\n`. */
function paxPath(content) {
  const found = /^\d+ path=(.*)$/m.exec(content.toString());
  return found ? found[1] : '';
}

process.on('uncaughtException', (error) => {
  console.error(error);
  process.exit(1);
});
process.on('unhandledRejection', (error) => console.error(error));
for (const stream of [process.stdout, process.stderr]) stream._handle?.setBlocking?.(true);
serve(new net.Socket({ fd: FRAMES, readable: true, writable: true }));
