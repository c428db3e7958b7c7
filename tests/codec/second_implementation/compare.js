// Compares the codec with mqtt-packet, the codec of MQTT.js, in both directions.
//
//     node compare.js <exchange> <folder for node_modules>
//
// Exits with 77 (skipped) if mqtt-packet is not installed and cannot be installed.
'use strict'

const assert = require('assert')
const { spawnSync } = require('child_process')
const fs = require('fs')
const path = require('path')

const [exchange, folder] = process.argv.slice(2)
const version = '9.0.2'
const seed = '2026'
const count = 3000

function load () {
  const installed = path.join(folder, 'node_modules', 'mqtt-packet')
  const isInstalled = () => {
    try {
      return JSON.parse(fs.readFileSync(path.join(installed, 'package.json'))).version === version
    } catch {
      return false
    }
  }
  if (!isInstalled()) {
    fs.mkdirSync(folder, { recursive: true })
    fs.writeFileSync(path.join(folder, 'package.json'), '{"private": true}')
    const options = ['--ignore-scripts', '--no-audit', '--no-fund', '--no-package-lock', '--fetch-retries=1',
      '--fetch-timeout=20000']
    spawnSync('npm', ['install', `mqtt-packet@${version}`, ...options],
      { cwd: folder, shell: process.platform === 'win32', timeout: 90000 })
  }
  return isInstalled() ? require(installed) : null
}

function run (mode, input) {
  const result = spawnSync(exchange, [mode, seed, String(count)], { input, maxBuffer: 2 ** 30 })
  return { ok: result.status === 0, out: result.stdout }
}

// {"hex": "..."} is binary data.
const revive = (key, value) => value && typeof value.hex === 'string' ? Buffer.from(value.hex, 'hex') : value

// Converts the parser's objects to comparable ones: its buffers are slices, its objects have no prototype.
function plain (value) {
  if (Buffer.isBuffer(value)) return 'hex ' + value.toString('hex')
  if (Array.isArray(value)) return value.map(plain)
  if (value === null || typeof value !== 'object') return value
  return Object.fromEntries(Object.entries(value).map(([name, of]) => [name, plain(of)]))
}

function parse (mqtt, bytes, protocolVersion) {
  const found = []
  const parser = mqtt.parser({ protocolVersion })
  parser.on('packet', packet => found.push(packet))
  parser.on('error', error => { throw error })
  parser.parse(bytes)
  assert.strictEqual(found.length, 1, 'one packet')
  return found[0]
}

function check (mqtt, { version, bytes, packet }) {
  const parsed = plain(parse(mqtt, Buffer.from(bytes, 'hex'), version))
  const expected = plain(packet)
  for (const name of Object.keys(expected)) assert.deepStrictEqual(parsed[name], expected[name], name)
  for (const name of ['properties', 'will', 'username', 'password']) {
    assert.strictEqual(name in parsed && parsed[name] !== undefined, name in expected, name)
  }
}

const mqtt = load()
if (!mqtt) {
  console.log(`mqtt-packet ${version} cannot be installed`)
  process.exit(77)
}

const ours = run('write')
assert(ours.ok, 'exchange write')
const seen = new Set()
const theirs = []
let failures = 0
for (const line of ours.out.toString().split('\n').filter(Boolean)) {
  const given = JSON.parse(line, revive)
  seen.add(given.packet.cmd + given.version)
  try {
    check(mqtt, given)
    theirs.push(mqtt.generate(given.packet, { protocolVersion: given.version }).toString('hex'))
  } catch (error) {
    ++failures
    theirs.push('')
    console.log(`${error.message}\n  ${line.slice(0, 500)}`)
  }
}
console.log(`mqtt-packet ${version} parsed ${theirs.length - failures} of ${count} packets as expected, ` +
  `${seen.size} combinations of type and version`)
assert.strictEqual(theirs.length, count)
assert.strictEqual(seen.size, 29, 'all packets of both versions; AUTH is in 5.0 only')

const back = run('read', theirs.join('\n') + '\n')
console.log(back.out.toString())
process.exit(failures === 0 && back.ok ? 0 : 1)
