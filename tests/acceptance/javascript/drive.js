// Drives a platform with the official JavaScript client; fails with a message, or prints how many checks held.
const assert = require('node:assert/strict');
const openwhisk = require('openwhisk');

const ow = openwhisk({ apihost: process.env.APIHOST, api_key: process.env.AUTH, namespace: '_' });
let checks = 0;

async function check(what, body) {
  try {
    await body();
    checks += 1;
  } catch (error) {
    console.error(`${what}: ${error.stack}`);
    process.exit(1);
  }
}

async function eventually(probe) {
  for (let i = 0; i < 200; i++) {
    const value = await probe();
    if (value) return value;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error('not so within ten seconds');
}

const source = 'function main(p) { console.log("hi"); return { got: p.n, fixed: p.fixed }; }';

async function actions() {
  await check('create an action', async () => {
    const made = await ow.actions.create({ name: 'js-echo', action: source, params: { fixed: 1 }, annotations: { a: 'b' } });
    assert.equal(made.name, 'js-echo');
    assert.deepEqual(made.parameters, [{ key: 'fixed', value: 1 }]);
  });
  await check('creating it again is refused', async () => {
    await assert.rejects(ow.actions.create({ name: 'js-echo', action: source }), (e) => e.statusCode === 409);
  });
  await check('update an action', async () => {
    const made = await ow.actions.update({ name: 'js-echo', action: source, params: { fixed: 2 } });
    assert.equal(made.version, '0.0.2');
  });
  await check('get and list actions', async () => {
    assert.equal((await ow.actions.get('js-echo')).exec.code, source);
    assert.ok((await ow.actions.list({ limit: 200 })).some((a) => a.name === 'js-echo'));
  });
  await check('invoke and wait for the result', async () => {
    assert.deepEqual(await ow.actions.invoke({ name: 'js-echo', blocking: true, result: true, params: { n: 'x' } }), { got: 'x', fixed: 2 });
  });
  await check('invoke and wait for the record', async () => {
    const record = await ow.actions.invoke({ name: 'js-echo', blocking: true, params: { n: 3 } });
    assert.equal(record.response.status, 'success');
    assert.equal(record.name, 'js-echo');
  });
  await check('an action that fails rejects with its error', async () => {
    await ow.actions.create({ name: 'js-fail', action: 'function main() { return { error: "on purpose" }; }' });
    await assert.rejects(ow.actions.invoke({ name: 'js-fail', blocking: true }), (e) => e.statusCode === 502 && /on purpose/.test(e.message));
  });
}

async function activations() {
  await check('invoke without waiting, then get record, logs and result', async () => {
    const { activationId } = await ow.actions.invoke({ name: 'js-echo', params: { n: 7 } });
    const record = await eventually(() => ow.activations.get(activationId).catch(() => null));
    assert.deepEqual(record.response.result, { got: 7, fixed: 2 });
    assert.match((await ow.activations.logs(activationId)).logs[0], / stdout: hi$/);
    assert.deepEqual((await ow.activations.result(activationId)).result, { got: 7, fixed: 2 });
  });
  await check('list activations', async () => {
    assert.ok((await ow.activations.list({ limit: 5, name: 'js-echo' })).length >= 1);
  });
}

async function packages() {
  await check('create, get, list, update and delete packages', async () => {
    await ow.packages.create({ name: 'js-pkg' });
    await ow.packages.update({ name: 'js-pkg', package: { parameters: [{ key: 'fixed', value: 9 }] } });
    await ow.actions.create({ name: 'js-pkg/echo', action: source });
    assert.deepEqual(await ow.actions.invoke({ name: 'js-pkg/echo', blocking: true, result: true }), { fixed: 9 });
    assert.equal((await ow.packages.get('js-pkg')).actions[0].name, 'echo');
    assert.ok((await ow.packages.list()).some((p) => p.name === 'js-pkg'));
    await ow.actions.delete('js-pkg/echo');
    await ow.packages.delete('js-pkg');
    await assert.rejects(ow.packages.get('js-pkg'), (e) => e.statusCode === 404);
  });
}

async function triggersAndRules() {
  await check('a trigger fires an action through a rule', async () => {
    await ow.triggers.create({ name: 'js-trigger' });
    await ow.rules.create({ name: 'js-rule', action: 'js-echo', trigger: 'js-trigger' });
    const { activationId } = await ow.triggers.invoke({ name: 'js-trigger', params: { n: 'fired' } });
    const record = await eventually(() => ow.activations.get(activationId).catch(() => null));
    const outcome = JSON.parse(record.logs[0]);
    assert.equal(outcome.success, true);
    const run = await eventually(() => ow.activations.get(outcome.activationId).catch(() => null));
    assert.equal(run.response.result.got, 'fired');
  });
  await check('disable, enable, get, list and delete rules and triggers', async () => {
    await ow.rules.disable({ name: 'js-rule' });
    assert.equal((await ow.rules.get('js-rule')).status, 'inactive');
    await ow.rules.enable({ name: 'js-rule' });
    assert.equal((await ow.rules.get('js-rule')).status, 'active');
    assert.ok((await ow.rules.list()).some((r) => r.name === 'js-rule'));
    await ow.rules.delete('js-rule');
    assert.ok((await ow.triggers.list()).some((t) => t.name === 'js-trigger'));
    await ow.triggers.update({ name: 'js-trigger', trigger: { annotations: [{ key: 'x', value: 1 }] } });
    assert.equal((await ow.triggers.get('js-trigger')).version, '0.0.2');
    await ow.triggers.delete('js-trigger');
  });
}

async function feeds() {
  await check('create, get, update and delete a feed', async () => {
    await ow.triggers.create({ name: 'js-alarm' });
    const feed = { feedName: '/whisk.system/alarms/alarm', trigger: 'js-alarm' };
    await ow.feeds.create({ ...feed, params: { cron: '0 0 1 1 *' } });
    const read = await ow.feeds.get(feed);
    assert.equal(read.response.result.config.cron, '0 0 1 1 *');
    await ow.feeds.update({ ...feed, params: { cron: '0 0 2 1 *' } });
    assert.equal((await ow.feeds.get(feed)).response.result.config.cron, '0 0 2 1 *');
    await ow.feeds.delete(feed);
    await ow.triggers.delete('js-alarm');
  });
}

async function main() {
  await check('list namespaces', async () => assert.deepEqual(await ow.namespaces.list(), ['guest']));
  await actions();
  await activations();
  await packages();
  await triggersAndRules();
  await feeds();
  for (const name of ['js-echo', 'js-fail']) await ow.actions.delete(name);
  console.log(`${checks} checks held`);
}

main();
