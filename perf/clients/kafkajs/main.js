// A kafkajs client that checks a broker.
//
//   node main.js --bootstrap HOST:PORT --prefix PREFIX [--only CHECK,CHECK]
//
// kafkajs reads in consumer groups only. What it has produced is therefore read by kcat, and what
// needs a reader of its own is absent. Codecs that it leaves to others come from npm.
//
// Each line of output is one check; an answer holds no ids, ports, times, nor the prefix.

'use strict'

const { execFileSync } = require('node:child_process')
const { parseArgs } = require('node:util')
const kafkajs = require('kafkajs')
const lz4 = require('lz4-napi')
const snappy = require('snappyjs')
const zstd = require('@bokuweb/zstd-wasm')
const groups = require('./groups.js')

const { CompressionCodecs, CompressionTypes, ConfigResourceTypes, Kafka, logLevel } = kafkajs
const PARTITIONS = 4
const RECORDS = 1000
const MIB = 1024 * 1024
const MESSAGE_BYTES_MAX = 4 * MIB
// An hour ago: old enough for every record to be in the past, young enough to be retained.
const FIRST_TIMESTAMP = Date.now() - 3600000
const CODECS = {
  none: CompressionTypes.None,
  gzip: CompressionTypes.GZIP,
  snappy: CompressionTypes.Snappy,
  lz4: CompressionTypes.LZ4,
  zstd: CompressionTypes.ZSTD,
}

function useCodec(type, compress, decompress) {
  CompressionCodecs[type] = () => ({
    compress: async encoder => Buffer.from(await compress(encoder.buffer)),
    decompress: async buffer => Buffer.from(await decompress(buffer)),
  })
}

const zstdReady = zstd.init()
useCodec(CompressionTypes.Snappy, snappy.compress, snappy.uncompress)
useCodec(CompressionTypes.LZ4, lz4.compressFrame, lz4.decompressFrame)
useCodec(
  CompressionTypes.ZSTD,
  buffer => zstdReady.then(() => zstd.compress(buffer)),
  buffer => zstdReady.then(() => zstd.decompress(buffer))
)

const { values: options } = parseArgs({
  options: { bootstrap: { type: 'string' }, prefix: { type: 'string' }, only: { type: 'string' } },
})
const kafka = new Kafka({
  clientId: 'kafkajs',
  brokers: [options.bootstrap],
  logLevel: logLevel.NOTHING,
  retry: { initialRetryTime: 50, retries: 8 },
})
const admin = kafka.admin()
const producer = kafka.producer({ allowAutoTopicCreation: false })
const idempotent = kafka.producer({ allowAutoTopicCreation: false, idempotent: true })

class Absent extends Error {}

function absent(what) {
  return async () => {
    throw new Absent(what)
  }
}

const noReader = absent('kafkajs reads in consumer groups only')

function topicOf(name) {
  return `${options.prefix}-${name}`
}

function checkEqual(what, found, expected) {
  const [a, b] = [JSON.stringify(found), JSON.stringify(expected)]
  if (a !== b) throw new Error(`${what}: ${String(a).slice(0, 300)}, expected ${b.slice(0, 300)}`)
}

async function settle(condition, what) {
  const end = Date.now() + 10000
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`not within 10 s: ${what}`)
    await new Promise(resolve => setTimeout(resolve, 50))
  }
}

async function create(topic, numPartitions, configs = {}, validateOnly = false) {
  const configEntries = Object.entries(configs).map(([name, value]) => ({ name, value }))
  const topics = [{ topic, numPartitions, replicationFactor: 1, configEntries }]
  return await admin.createTopics({ topics, validateOnly, waitForLeaders: false })
}

// Makes a topic and waits until its leaders know that they lead: one that does not yet refuses, and
// a producer that tries again may send twice, or with acks=0 never hears of it.
async function make(topic, numPartitions, configs) {
  await create(topic, numPartitions, configs)
  const isServed = async () => {
    const served = (await admin.fetchTopicOffsets(topic)).filter(one => one.high === '0')
    return served.length === numPartitions
  }
  await settle(() => isServed().catch(() => false), 'the topic is served')
}

// Everything in a topic, as [partition, offset, key, value, headers], in the order of offsets
// within each partition.
function read(topic, ...more) {
  const settings = ['check.crcs=true', 'fetch.wait.max.ms=50']
  settings.push(`fetch.message.max.bytes=${MESSAGE_BYTES_MAX}`)
  const asked = ['-C', '-b', options.bootstrap, '-t', topic, '-o', 'beginning', '-e', '-q', '-J']
  const args = [...asked, ...settings.flatMap(setting => ['-X', setting]), ...more]
  const text = execFileSync('kcat', args, { encoding: 'utf8', maxBuffer: 64 * MIB })
  const messages = text.split('\n').filter(Boolean).map(line => JSON.parse(line))
  return messages
    .map(one => [one.partition, one.offset, one.key, one.payload, one.headers ?? []])
    .sort((a, b) => a[0] - b[0] || a[1] - b[1])
}

// Messages that tell where they belong, dealt to the partitions in turn.
function keyed(count, partitions, timestampOf = () => undefined) {
  return Array.from({ length: count }, (_, index) => ({
    partition: index % partitions,
    key: `key ${index}`,
    value: `value ${index} `.repeat(12),
    timestamp: timestampOf(index),
  }))
}

// Sends all in some requests, has kcat read all, and compares everything.
async function roundTrip(topic, messages, { codec = 'none', acks = -1, by = producer } = {}) {
  for (let at = 0; at < messages.length; at += 250) {
    const some = messages.slice(at, at + 250)
    await by.send({ topic, acks, compression: CODECS[codec], messages: some })
  }
  const ends = {}
  const expected = messages.map(({ partition, key, value, headers = {} }) => {
    const offset = (ends[partition] = (ends[partition] ?? -1) + 1)
    const pairs = Object.entries(headers).flatMap(([name, values]) =>
      [values].flat().flatMap(one => [name, one])
    )
    return [partition, offset, key, value, pairs]
  })
  expected.sort((a, b) => a[0] - b[0] || a[1] - b[1])
  // Without an acknowledgement the end may not be there yet.
  let found = read(topic)
  await settle(() => (found = read(topic)).length >= expected.length || acks !== 0, 'all is there')
  checkEqual('number of records', found.length, expected.length)
  found.forEach((record, index) => checkEqual('record', record, expected[index]))
}

function codec(name) {
  return async () => {
    const topic = topicOf(`codec-${name}`)
    await make(topic, PARTITIONS)
    await roundTrip(topic, keyed(RECORDS, PARTITIONS), { codec: name })
    return `${RECORDS} records in ${PARTITIONS} partitions`
  }
}

function acks(name, number) {
  return async () => {
    const topic = topicOf(`acks-${name}`)
    await make(topic, PARTITIONS)
    await roundTrip(topic, keyed(100, PARTITIONS), { acks: number })
    return '100 records'
  }
}

async function idempotence() {
  const topic = topicOf('idempotence')
  await make(topic, PARTITIONS)
  await roundTrip(topic, keyed(RECORDS, PARTITIONS), { by: idempotent })
  return `${RECORDS} records in ${PARTITIONS} partitions`
}

async function headers() {
  const topic = topicOf('headers')
  await make(topic, 1)
  const pairs = { a: ['1', '2'], b: '', ü: 'é' }
  await roundTrip(topic, [
    { partition: 0, key: 'k', value: 'v', headers: pairs },
    { partition: 0, key: 'k', value: 'v' },
  ])
  return JSON.stringify(pairs)
}

async function nulls() {
  const topic = topicOf('nulls')
  await make(topic, 1)
  const pairs = [[null, 'v'], ['k', null], ['k', ''], ['', 'v'], ['', '']]
  await roundTrip(topic, pairs.map(([key, value]) => ({ partition: 0, key, value })))
  return JSON.stringify(pairs)
}

async function sizes() {
  const topic = topicOf('sizes')
  await make(topic, 1, { 'max.message.bytes': `${MESSAGE_BYTES_MAX}` })
  const large = Array.from({ length: MIB / 8 }, (_, index) => `${index}`.padStart(8, '0')).join('')
  const values = ['x', large]
  await roundTrip(topic, values.map(value => ({ partition: 0, key: null, value })))
  return `1 ${MIB}`
}

function partitions(count) {
  return async () => {
    const topic = topicOf(`partitions-${count}`)
    await make(topic, count)
    await roundTrip(topic, keyed(count * 3, count))
    return `${count} partitions, 3 records each`
  }
}

// A topic of one partition with 100 records, each with its own time.
async function timed(name, timestampOf) {
  const topic = topicOf(name)
  await make(topic, 1)
  await producer.send({ topic, messages: keyed(100, 1, index => `${timestampOf(index)}`) })
  return topic
}

async function adminCreate() {
  const [topic, tried] = [topicOf('admin-create'), topicOf('admin-create-tried')]
  await create(topic, 3, { 'retention.ms': '3600000', 'cleanup.policy': 'compact' })
  await create(tried, 3, {}, true)
  await settle(async () => (await admin.listTopics()).includes(topic), 'the topic is listed')
  const topics = await admin.listTopics()
  return `created: ${topics.includes(topic)}, only validated: ${topics.includes(tried)}`
}

async function describe(topic) {
  const { topics } = await admin.fetchTopicMetadata({ topics: [topic] })
  const sorted = topics[0].partitions.sort((a, b) => a.partitionId - b.partitionId)
  return sorted.map(one => [one.partitionId, one.leader >= 0, one.replicas.length, one.isr.length])
}

async function adminDescribe() {
  const topic = topicOf('admin-describe')
  await make(topic, 3)
  return JSON.stringify(await describe(topic))
}

async function configs(topic, configNames) {
  const asked = [{ type: ConfigResourceTypes.TOPIC, name: topic, configNames }]
  const { resources } = await admin.describeConfigs({ resources: asked })
  const shown = one => `${one.configName}=${one.configValue} ${one.configSource}`
  return resources[0].configEntries.map(shown).sort().join(', ')
}

// It has AlterConfigs only, which takes back whatever it does not name.
async function alter(topic, configEntries) {
  const resources = [{ type: ConfigResourceTypes.TOPIC, name: topic, configEntries }]
  await admin.alterConfigs({ resources, validateOnly: false })
}

async function adminConfigs() {
  const topic = topicOf('admin-configs')
  await make(topic, 1, { 'cleanup.policy': 'compact,delete' })
  const names = ['cleanup.policy', 'compression.type', 'max.message.bytes', 'retention.ms',
    'min.insync.replicas', 'message.timestamp.type', 'segment.bytes']
  const answers = [await configs(topic, names)]
  for (const value of ['7200000', '604800000']) {
    await alter(topic, [{ name: 'retention.ms', value }])
    await settle(async () => (await configs(topic, ['retention.ms'])).includes(value), value)
    answers.push(await configs(topic, ['retention.ms']))
  }
  return answers.join(' | ')
}

async function adminPartitions() {
  const topic = topicOf('admin-partitions')
  await make(topic, 2)
  await admin.createPartitions({ topicPartitions: [{ topic, count: 5 }] })
  await settle(async () => (await describe(topic)).length === 5, 'five partitions are shown')
  // A producer that knows the topic would deal to two partitions until it asks again.
  const late = kafka.producer({ allowAutoTopicCreation: false })
  await late.connect()
  await late.send({ topic, messages: [{ partition: 4, key: 'k', value: 'v' }] })
  await late.disconnect()
  return `${(await describe(topic)).length} partitions, ${read(topic)[0][3]} in the last`
}

async function adminOffsets() {
  // The largest time stands at offset 60, in the midst.
  const topic = await timed('admin-offsets', index => FIRST_TIMESTAMP - Math.abs(index - 60) * 1000)
  const [ends] = await admin.fetchTopicOffsets(topic)
  const offsets = [ends.low, ends.high]
  for (const delta of [-10500, 1]) {
    const found = await admin.fetchTopicOffsetsByTimestamp(topic, FIRST_TIMESTAMP + delta)
    offsets.push(found[0].offset)
  }
  return offsets.join(' ')
}

async function adminDeleteRecords() {
  const topic = await timed('admin-delete-records', index => FIRST_TIMESTAMP + index * 1000)
  // It finds leaders only of topics that it was asked of before: `make` has.
  await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '30' }] })
  const first = read(topic, '-c', '1')[0][1]
  await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '-1' }] })
  const [{ low, high }] = await admin.fetchTopicOffsets(topic)
  return `first ${first}, then ${low} to ${high}`
}

async function adminDelete() {
  const topic = topicOf('admin-delete')
  await make(topic, 2)
  await admin.deleteTopics({ topics: [topic] })
  await settle(async () => !(await admin.listTopics()).includes(topic), 'the topic is gone')
  return await refused(admin.fetchTopicMetadata({ topics: [topic] }))
}

async function adminCluster() {
  const { brokers, controller, clusterId } = await admin.describeCluster()
  const isOne = brokers.some(broker => broker.nodeId === controller)
  return `id: ${Boolean(clusterId)}, brokers: ${brokers.length > 0}, controller is one: ${isOne}`
}

// The name of the error with which this must fail.
async function refused(promise) {
  let found
  try {
    found = await promise
  } catch (error) {
    for (let one = error; one; one = one.errors?.[0] ?? one.cause) {
      if (one.type) return one.type
    }
    throw error
  }
  throw new Error(`not refused: ${JSON.stringify(found)}`)
}

async function errorsUnknownTopic() {
  return await refused(admin.fetchTopicMetadata({ topics: [topicOf('errors-unknown')] }))
}

async function errorsTooLarge() {
  const topic = topicOf('errors-too-large')
  await make(topic, 1)
  return await refused(producer.send({ topic, messages: [{ value: 'x'.repeat(2 * MIB) }] }))
}

async function errorsExists() {
  const topic = topicOf('errors-exists')
  await create(topic, 1)
  // It takes this one error for an answer: false.
  return `${await create(topic, 1)}`
}

async function errorsBadConfig() {
  const topic = topicOf('errors-bad-config')
  const value = await refused(create(topic, 1, { 'retention.ms': 'soon' }))
  const name = await refused(create(topic, 1, { 'no.such.setting': '1' }))
  return `value: ${value}, name: ${name}`
}

async function errorsBadPartitions() {
  const topic = topicOf('errors-bad-partitions')
  const none = await refused(create(topic, 0))
  await create(topic, 2)
  const fewer = await refused(admin.createPartitions({ topicPartitions: [{ topic, count: 1 }] }))
  return `none: ${none}, fewer: ${fewer}`
}

const CHECKS = {
  ...Object.fromEntries(Object.keys(CODECS).map(name => [`codec/${name}`, codec(name)])),
  'acks/0': acks('0', 0),
  'acks/1': acks('1', 1),
  'acks/all': acks('all', -1),
  idempotence,
  headers,
  nulls,
  sizes,
  'partitions/1': partitions(1),
  'partitions/64': partitions(64),
  'seek/offset': noReader,
  'seek/timestamp': noReader,
  'seek/ends': noReader,
  'admin/create': adminCreate,
  'admin/describe': adminDescribe,
  'admin/configs': adminConfigs,
  'admin/partitions': adminPartitions,
  'admin/offsets': adminOffsets,
  'admin/delete-records': adminDeleteRecords,
  'admin/delete': adminDelete,
  'admin/cluster': adminCluster,
  'errors/unknown-topic': errorsUnknownTopic,
  'errors/too-large': errorsTooLarge,
  'errors/invalid-name': async () => await refused(create(topicOf('errors invalid name'), 1)),
  'errors/exists': errorsExists,
  'errors/out-of-range': noReader,
  'errors/bad-config': errorsBadConfig,
  'errors/bad-partitions': errorsBadPartitions,
  ...groups({ kafka, admin, producer, topicOf, make, settle, checkEqual, refused, options }),
}

async function play(check) {
  const began = Date.now()
  const line = { check, result: 'pass', detail: '', answer: '' }
  try {
    line.answer = (await CHECKS[check]()).replaceAll(options.prefix, 'PREFIX')
    line.detail = `${(Date.now() - began) / 1000} s`
  } catch (error) {
    line.result = error instanceof Absent ? 'absent' : 'fail'
    line.detail = error instanceof Absent ? error.message : `${error}`.slice(0, 1000)
  }
  console.log(JSON.stringify(line))
}

async function main() {
  const clients = [admin, producer, idempotent]
  await Promise.all(clients.map(client => client.connect()))
  for (const check of options.only ? options.only.split(',') : Object.keys(CHECKS)) {
    if (CHECKS[check]) await play(check)
  }
  await Promise.all(clients.map(client => client.disconnect()))
}

// What a failed check has left open would keep the program going.
main().then(
  () => process.exit(0),
  error => {
    console.error(error)
    process.exit(1)
  }
)
