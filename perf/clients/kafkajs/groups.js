// Consumer groups and transactions with kafkajs.
//
// A ledger is kept of who owns which partition while records flow: a partition has one owner at a
// time, and a record is taken by the owner of its partition. kafkajs knows neither cooperative
// assignors nor static members, and speaks the classic protocol only.

'use strict'

const { execFileSync } = require('node:child_process')

const PARTITIONS = 6
const DEADLINE_MS = 25000
const EARLY = { fromBeginning: true }

class Ledger {
  owners = new Map()
  served = new Set()
  taken = Array.from({ length: PARTITIONS }, () => new Set())
  complaints = []

  assigned(member, partitions) {
    for (const partition of partitions) {
      const owner = this.owners.get(partition) ?? member
      if (owner !== member) this.complaints.push(`${member} is given ${partition} of ${owner}`)
      this.owners.set(partition, member)
      this.served.delete(partition)
    }
  }

  left(member) {
    for (const [partition, owner] of this.owners) {
      if (owner === member) this.owners.delete(partition)
    }
  }

  took(member, partition, offset) {
    if (this.owners.get(partition) !== member) {
      this.complaints.push(`${member} took of ${partition}, which is not its own`)
    }
    this.served.add(partition)
    this.taken[partition].add(Number(offset))
  }

  // How many partitions each owner has; those that it took nothing from yet not counted.
  shares() {
    const counts = {}
    for (const partition of this.served) {
      const owner = this.owners.get(partition)
      if (owner) counts[owner] = (counts[owner] ?? 0) + 1
    }
    return Object.values(counts).sort().join(' ')
  }

  hasTaken(from, to) {
    return this.taken.every(offsets => offsets.size === to - from && offsets.has(to - 1))
  }
}

module.exports = ({ kafka, admin, producer, topicOf, make, settle, checkEqual, refused, options }) => {
  const consumerOf = (groupId, more) => kafka.consumer({
    groupId,
    sessionTimeout: 6000,
    heartbeatInterval: 200,
    maxWaitTimeInMs: 50,
    ...more,
  })

  class Flow {
    constructor(check) {
      this.topic = topicOf(check)
      this.group = topicOf(`${check}-group`)
      this.ledger = new Ledger()
      this.members = new Map()
      this.sent = 0
    }

    async join(name) {
      const { ledger, topic } = this
      const consumer = consumerOf(this.group)
      const { GROUP_JOIN, REBALANCING } = consumer.events
      consumer.on(GROUP_JOIN, ({ payload }) => {
        ledger.left(name)
        ledger.assigned(name, payload.memberAssignment[topic] ?? [])
      })
      consumer.on(REBALANCING, () => ledger.left(name))
      this.members.set(name, { consumer, ledger })
      await consumer.connect()
      await consumer.subscribe({ topics: [topic], ...EARLY })
      await consumer.run({
        autoCommitInterval: 100,
        eachMessage: async ({ partition, message }) => {
          ledger.took(name, partition, message.offset)
        },
      })
    }

    // It commits once more while it stops, and only then it leaves.
    async leave(name) {
      const { consumer, ledger } = this.members.get(name)
      this.members.delete(name)
      await consumer.stop()
      ledger.left(name)
      await consumer.disconnect()
    }

    async send() {
      const value = `${this.sent++}`
      const messages = Array.from({ length: PARTITIONS }, (_, partition) => ({ partition, value }))
      await producer.send({ topic: this.topic, messages })
    }

    async until(condition, what, isFlowing = true) {
      const end = Date.now() + DEADLINE_MS
      while (!condition()) {
        const { complaints } = this.ledger
        if (complaints.length > 0 || Date.now() > end) {
          throw new Error(`no ${what}; shares ${this.ledger.shares()}, ${complaints.slice(0, 3)}`)
        }
        if (isFlowing) await this.send()
        await new Promise(resolve => setTimeout(resolve, 20))
      }
    }

    async untilShared(shares) {
      await this.until(() => this.ledger.shares() === shares, `shares ${shares}`)
    }

    async untilTaken() {
      await this.until(() => this.ledger.hasTaken(0, this.sent), 'end of what was sent', false)
    }

    async committed() {
      const [{ partitions }] = await admin.fetchOffsets({ groupId: this.group, topics: [this.topic] })
      return partitions.sort((a, b) => a.partition - b.partition).map(one => Number(one.offset))
    }

    async finish() {
      await this.untilTaken()
      for (const name of [...this.members.keys()]) await this.leave(name)
      checkEqual('complaints', this.ledger.complaints, [])
      checkEqual('committed', await this.committed(), Array(PARTITIONS).fill(this.sent))
    }

    async fresh() {
      this.ledger = new Ledger()
      await this.join('fresh')
      await this.send()
      const isNew = () => this.ledger.hasTaken(this.sent - 1, this.sent)
      await this.until(isNew, 'end of what is new, alone', false)
      await this.leave('fresh')
    }

    async close() {
      await Promise.all([...this.members.values()].map(({ consumer }) => consumer.disconnect()))
    }
  }

  async function flowing(check, play) {
    const flow = new Flow(check)
    await make(flow.topic, PARTITIONS)
    try {
      return await play(flow)
    } finally {
      await flow.close()
    }
  }

  async function rebalances(flow) {
    await flow.join('one')
    await flow.join('two')
    await flow.untilShared('3 3')
    await flow.join('three')
    await flow.untilShared('2 2 2')
    await flow.leave('one')
    await flow.untilShared('3 3')
    await flow.finish()
    await flow.fresh()
    return '3 3, 2 2 2, 3 3: all taken, one owner each, committed; a fresh one: the new only'
  }

  async function described(groupId) {
    const { groups: [one] } = await admin.describeGroups([groupId])
    const { errorCode, state, protocolType, protocol, members } = one
    return JSON.stringify([errorCode, state, protocolType, protocol, members.length])
  }

  async function isListed(groupId) {
    const { groups } = await admin.listGroups()
    return groups.some(one => one.groupId === groupId)
  }

  // It tells of many groups at once.
  async function deleted(groupId) {
    try {
      await admin.deleteGroups([groupId])
      return 'done'
    } catch (error) {
      if (!error.groups) throw error
      return error.groups.map(one => one.error.type).join()
    }
  }

  async function groupAdmin(flow) {
    const shown = []
    const note = (what, answer) => shown.push(`${what}: ${answer}`)
    const { group, topic } = flow
    await flow.join('one')
    await flow.untilShared('6')
    await flow.untilTaken()
    note('with a member', await described(group))
    note('delete', await deleted(group))
    await flow.finish()
    note('without', await described(group))
    note('listed', await isListed(group))
    const partitions = [{ partition: 0, offset: '1' }, { partition: 5, offset: '0' }]
    await admin.setOffsets({ groupId: group, topic, partitions })
    const offsets = await flow.committed()
    checkEqual('untouched', offsets.slice(1, 5), Array(4).fill(flow.sent))
    note('committed', [offsets[0], offsets[5]])
    note('delete', await deleted(group))
    note('listed', await isListed(group))
    note('committed', await flow.committed())
    note('gone', await described(group))
    note('delete again', await deleted(group))
    return shown.join('; ')
  }

  // What kcat reads to the end that it is shown, in a form of its language.
  function kcat(topic, isolation, form = '%o:%s ') {
    const args = ['-C', '-b', options.bootstrap, '-t', topic, '-o', 'beginning', '-e', '-q']
    const settings = ['-X', 'fetch.wait.max.ms=50', '-X', `isolation.level=${isolation}`]
    const text = execFileSync('kcat', [...args, '-f', form, ...settings], { encoding: 'utf8' })
    return text.split(' ').filter(Boolean)
  }

  // The client reads the same as kcat.
  async function read(topic, isolation) {
    const wanted = kcat(topic, isolation)
    const readUncommitted = isolation === 'read_uncommitted'
    const consumer = consumerOf(`${topic}-${isolation}-${wanted.length}`, { readUncommitted })
    const found = []
    await consumer.connect()
    await consumer.subscribe({ topics: [topic], ...EARLY })
    await consumer.run({
      eachMessage: async ({ message }) => found.push(`${message.offset}:${message.value}`),
    })
    await settle(() => found.length >= wanted.length, 'all is read').finally(
      () => consumer.disconnect()
    )
    checkEqual(isolation, found, wanted)
    return wanted.join(' ')
  }

  const both = async topic =>
    `${await read(topic, 'read_committed')} of ${await read(topic, 'read_uncommitted')}`

  // A coordinator may answer before all partitions have its decision.
  async function untilShown(topic, wanted) {
    const isShown = () => kcat(topic, 'read_committed').join(' ') === wanted
    await settle(isShown, `shown: ${wanted}`)
  }

  // It is initialised when its first transaction begins.
  async function transactional(name, transactionTimeout = 60000) {
    const made = kafka.producer({
      transactionalId: topicOf(name),
      transactionTimeout,
      idempotent: true,
      maxInFlightRequests: 1,
      retry: { retries: 2 },
    })
    await made.connect()
    return made
  }

  const messagesOf = values => values.map(value => ({ partition: 0, value }))

  async function begun(by, topic, values) {
    const transaction = await by.transaction()
    await transaction.send({ topic, messages: messagesOf(values) })
    return transaction
  }

  async function commit() {
    const topic = topicOf('transactions-commit')
    await make(topic, 1)
    const by = await transactional('transactions-commit')
    const first = await begun(by, topic, ['a', 'b'])
    const open = await both(topic)
    await first.commit()
    await (await begun(by, topic, ['c'])).commit()
    await by.disconnect()
    await untilShown(topic, '0:a 1:b 3:c')
    return `open: ${open}, then ${await both(topic)}`
  }

  async function abort() {
    const topic = topicOf('transactions-abort')
    await make(topic, 1)
    const by = await transactional('transactions-abort')
    for (const [aborted, kept] of [['a', 'b'], ['c', 'd']]) {
      await (await begun(by, topic, [aborted, aborted])).abort()
      await (await begun(by, topic, [kept, kept])).commit()
    }
    await by.disconnect()
    await untilShown(topic, '3:b 4:b 9:d 10:d')
    return await both(topic)
  }

  // Consume, transform, produce: every third transaction is aborted and done anew.
  async function offsets(flow) {
    const output = topicOf('transactions-offsets-output')
    await make(output, 1)
    for (let number = 0; number < 10; number++) await flow.send()
    const by = await transactional('transactions-offsets')
    const consumer = consumerOf(flow.group)
    let [left, round] = [60, 0]
    const transform = async (partition, messages, isKept) => {
      const transaction = await begun(by, output, messages.map(one => `${partition}-${one.value}`))
      const offset = `${Number(messages.at(-1).offset) + 1}`
      const topics = [{ topic: flow.topic, partitions: [{ partition, offset }] }]
      await transaction.sendOffsets({ consumerGroupId: flow.group, topics })
      await (isKept ? transaction.commit() : transaction.abort())
    }
    await consumer.connect()
    await consumer.subscribe({ topics: [flow.topic], ...EARLY })
    await consumer.run({
      autoCommit: false,
      eachBatch: async ({ batch: { partition, messages } }) => {
        if (++round % 3 === 0) await transform(partition, messages, false)
        await transform(partition, messages, true)
        left -= messages.length
      },
    })
    await settle(() => left === 0, 'all is transformed').finally(() => consumer.disconnect())
    await by.disconnect()
    const indexes = Array.from({ length: 60 }, (_, index) => index)
    const wanted = indexes.map(index => `${index % 6}-${Math.floor(index / 6)}`).sort().join(' ')
    const shown = () => kcat(output, 'read_committed', '%s ').sort().join(' ')
    await settle(() => shown() === wanted, `each once: ${shown()}`)
    checkEqual('committed', await flow.committed(), Array(PARTITIONS).fill(10))
    return '60 records, each once; 10 committed of each partition'
  }

  async function fencing() {
    const topic = topicOf('transactions-fencing')
    await make(topic, 1)
    const old = await transactional('transactions-fencing')
    const transaction = await begun(old, topic, ['a'])
    const late = await transactional('transactions-fencing')
    const second = await late.transaction()
    const sent = await refused(transaction.send({ topic, messages: messagesOf(['b']) }))
    const ended = await refused(transaction.commit())
    await second.send({ topic, messages: messagesOf(['c']) })
    await second.commit()
    await untilShown(topic, '2:c')
    await Promise.all([old.disconnect(), late.disconnect()])
    return `send: ${sent}, commit: ${ended}`
  }

  async function timeout() {
    const topic = topicOf('transactions-timeout')
    await make(topic, 1)
    const late = await transactional('transactions-timeout', 1000)
    const transaction = await begun(late, topic, ['a'])
    // The marker of its end stands behind, once the broker has aborted it.
    const isAborted = async () => (await admin.fetchTopicOffsets(topic))[0].high === '2'
    await settle(isAborted, 'the broker aborts it')
    const ended = await refused(transaction.commit())
    const next = await transactional('transactions-timeout')
    await (await begun(next, topic, ['b'])).commit()
    await untilShown(topic, '2:b')
    await Promise.all([late.disconnect(), next.disconnect()])
    return `commit: ${ended}`
  }

  return {
    'groups/eager': () => flowing('groups-eager', rebalances),
    'groups/admin': () => flowing('groups-admin', groupAdmin),
    'transactions/commit': commit,
    'transactions/abort': abort,
    'transactions/offsets': () => flowing('transactions-offsets', offsets),
    'transactions/fencing': fencing,
    'transactions/timeout': timeout,
  }
}
