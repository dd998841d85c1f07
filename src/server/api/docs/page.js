'use strict'
// The routes of the OpenAPI document beside this page, each with a form. Paths are relative to the
// page, so that it works behind a proxy that puts the server under a path of its own.
const $ = id => document.getElementById(id)
const base = new URL(location.pathname.replace(/docs\/?$/, ''), location.href)
const MOST_SHOWN = 20000
let key = ''

const el = (name, props = {}, ...inside) => {
  const made = Object.assign(document.createElement(name), props)
  made.append(...inside)
  return made
}

const headers = more => ({ ...more, ...(key && { authorization: `Bearer ${key}` }) })
const at = path => new URL('.' + path, base)

const resolved = (doc, schema) =>
  schema && schema.$ref ? schema.$ref.slice(2).split('/').reduce((part, name) => part[name], doc) : schema

// What a schema takes, in words.
function kind(doc, given) {
  const schema = resolved(doc, given)
  if (schema.enum) {
    const names = schema.enum.filter(one => one !== null)
    return names.length > 6 ? names.slice(0, 6).join(', ') + ', …' : names.join(', ')
  }
  if (schema.anyOf) return [...new Set(schema.anyOf.map(one => kind(doc, one)))].filter(one => one !== 'null').join(', or ')
  const types = [schema.type ?? 'anything'].flat().filter(one => one !== 'null')
  if (!types.length) return 'null'
  if (types[0] === 'array' && schema.items) {
    const items = resolved(doc, schema.items)
    return items.anyOf ? 'list of such' : 'list of ' + kind(doc, items).replace(/^(string|integer|number|object|list)\b/, '$1s')
  }
  return types.join(', ')
}

function rows(doc, given, prefix = '') {
  const schema = resolved(doc, given)
  return Object.entries(schema.properties ?? {}).flatMap(([name, part]) => {
    const own = resolved(doc, part)
    const path = prefix + name
    const said = [schema.required?.includes(name) ? 'required' : '', own.description ?? '',
      own.default !== undefined ? `default: ${own.default}` : ''].filter(Boolean).join('; ')
    const row = el('tr', {}, el('td', {}, el('code', { textContent: path })),
      el('td', { textContent: kind(doc, part) }), el('td', { textContent: said }))
    const inner = own.items && resolved(doc, own.items).properties ? rows(doc, own.items, path + '[].')
      : own.properties ? rows(doc, own, path + '.') : []
    return [row, ...inner]
  })
}

// A body with forms of its own has the same fields in each.
const anyForm = (doc, schema) => resolved(doc, schema).anyOf?.[0] ?? schema

function fields(doc, schema) {
  const head = ['field', 'takes', ''].map(textContent => el('th', { textContent, scope: 'col' }))
  return el('div', {}, el('h3', { textContent: 'Fields' }), el('div', { className: 'wide' },
    el('table', { className: 'fields' }, el('thead', {}, el('tr', {}, ...head)),
      el('tbody', {}, ...rows(doc, schema)))))
}

// JSON with what has nothing inside it on one line.
const example = value => JSON.stringify(value, null, 2)
  .replace(/[[{][^[\]{}]*[\]}]/g, part => part.replace(/\s*\n\s*/g, ' '))

const quoted = text => `'${text.replaceAll("'", "'\\''")}'`

function curl(method, url, accept, body) {
  const parts = [`curl ${quoted(url.href)}`]
  if (key) parts.push(`-H ${quoted('authorization: Bearer KEY')}`)
  if (accept) parts.push(`-H ${quoted('accept: ' + accept)} --output answer`)
  if (body !== undefined) parts.push(`-H 'content-type: application/json' -d ${quoted(body)}`)
  else if (method === 'POST') parts.push('-X POST')
  return parts.join(' \\\n  ')
}

async function shown(response, took) {
  const bytes = new Uint8Array(await response.arrayBuffer())
  const type = response.headers.get('content-type') ?? ''
  const status = el('span', { className: response.ok ? 'status' : 'status bad', textContent: response.status })
  const line = el('p', {}, status, ` ${type.split(';')[0]}, ${bytes.length.toLocaleString()} bytes, ${took} ms`)
  if (!/json|text/.test(type)) {
    const link = el('a', { href: URL.createObjectURL(new Blob([bytes])), download: 'answer', textContent: 'save it' })
    line.append(' · ', link)
    return [line]
  }
  let text = new TextDecoder().decode(bytes)
  // Lists of numbers stay on one line.
  if (/json/.test(type)) try {
    text = JSON.stringify(JSON.parse(text), null, 2)
      .replace(/\[[-\d.,e+\s]+\]/gi, list => list.replace(/\s+/g, ' '))
  } catch {}
  if (text.length > MOST_SHOWN) text = text.slice(0, MOST_SHOWN) + '\n… and more'
  return [line, el('pre', { textContent: text, tabIndex: 0 })]
}

function form(doc, path, method, operation, id) {
  const content = operation.requestBody?.content['application/json']
  const forms = Object.keys(operation.responses[200]?.content ?? {})
  const value = content && example(content.example)
  const lines = content && Math.min(18, value.split('\n').length)
  const body = content && el('textarea', { id: id + '-body', spellcheck: false, rows: lines, value })
  const named = /\{(\w+)\}/.exec(path)?.[1]
  const name = named && el('input', { id: id + '-name', value: doc.models?.[0] ?? '', spellcheck: false })
  const accept = forms.length > 1 && el('select', { id: id + '-accept' }, ...forms.map(one => el('option', { textContent: one })))
  const go = el('button', { className: 'main', type: 'submit', textContent: 'Send' })
  const command = el('pre', { className: 'curl', tabIndex: 0 })
  const answer = el('div', { className: 'answer', role: 'status' })
  const url = () => at(named ? path.replace(`{${named}}`, encodeURIComponent(name.value)) : path)
  const wanted = () => accept && accept.selectedIndex > 0 ? accept.value : ''
  const compact = () => { try { return JSON.stringify(JSON.parse(body.value)) } catch { return body.value } }
  const show = () => { command.textContent = curl(method, url(), wanted(), body ? compact() : undefined) }
  const made = el('form', { className: 'try' })
  made.append(el('h3', { textContent: 'Try it' }))
  if (body) made.append(el('label', { htmlFor: body.id, textContent: 'Body' }), body)
  const act = el('div', { className: 'act' }, go)
  if (name) act.prepend(el('label', {}, named, name))
  if (accept) act.append(el('label', {}, 'as', accept))
  made.append(act, answer, el('label', { textContent: 'As a command' }), command)
  made.addEventListener('input', show)
  made.addEventListener('submit', async event => {
    event.preventDefault()
    go.disabled = true
    const began = performance.now()
    try {
      const response = await fetch(url(), {
        method, body: body?.value,
        headers: headers({ accept: wanted() || '*/*', ...(body && { 'content-type': 'application/json' }) }),
      })
      answer.replaceChildren(...await shown(response, Math.round(performance.now() - began)))
    } catch (error) {
      answer.replaceChildren(el('p', { className: 'error', textContent: `no answer: ${error.message}` }))
    }
    go.disabled = false
  })
  show()
  return made
}

function statuses(operation) {
  const row = ([status, one]) => el('tr', {}, el('td', {}, el('code', { textContent: status })), el('td', { textContent: one.description }))
  return el('details', {}, el('summary', { textContent: 'Statuses' }),
    el('table', { className: 'fields' }, el('tbody', {}, ...Object.entries(operation.responses).map(row))))
}

function route(doc, path, method, operation) {
  const details = el('details', { className: 'route', id: operation.operationId }, el('summary', {},
    el('span', { className: 'method ' + method, textContent: method.toUpperCase() }),
    el('code', { textContent: path }), el('span', { className: 'soft', textContent: operation.summary })))
  // Made when it is opened.
  details.addEventListener('toggle', () => {
    if (details.children.length > 1) return
    const inside = el('div', { className: 'inside' }, form(doc, path, method.toUpperCase(), operation, operation.operationId))
    const schema = operation.requestBody?.content['application/json'].schema
    if (schema) inside.append(fields(doc, anyForm(doc, schema)))
    inside.append(statuses(operation))
    details.append(inside)
  })
  return details
}

async function load() {
  $('error').textContent = ''
  try {
    const ask = path => fetch(at(path), { headers: headers({ accept: 'application/json' }) })
    const response = await ask('/openapi.json')
    if (response.status === 401) {
      if (key) $('error').textContent = 'That key is not one of this server’s.'
      $('entry').hidden = false
      return
    }
    if (!response.ok) throw new Error(`${response.status} for openapi.json`)
    const doc = await response.json()
    const info = await (await ask('/info')).json()
    doc.models = info.models
    $('served').textContent = `${info.models.join(', ')} on ${info.device} · version ${doc.info.version}`
    const groups = new Map()
    for (const [path, methods] of Object.entries(doc.paths))
      for (const [method, operation] of Object.entries(methods)) {
        const tag = operation.tags[0]
        if (!groups.has(tag)) groups.set(tag, [])
        groups.get(tag).push(route(doc, path, method, operation))
      }
    $('routes').replaceChildren(...[...groups].map(([tag, all]) => el('section', {}, el('h2', { textContent: tag }), ...all)))
    if (location.hash) document.getElementById(location.hash.slice(1))?.setAttribute('open', '')
  } catch (error) {
    $('error').textContent = `The list of routes did not come: ${error.message}`
  }
}

document.querySelectorAll('a[href="openapi.json"], footer a').forEach(a => { a.href = at('/' + a.getAttribute('href')) })
$('origin').textContent = base.href.replace(/\/$/, '')
$('entry').addEventListener('submit', event => { event.preventDefault(); key = $('key').value; load() })
load()
