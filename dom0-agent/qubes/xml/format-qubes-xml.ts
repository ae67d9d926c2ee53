import { formatDevices } from './devices-xml.ts';
import type { QubesStore, StoredQube, StoredVolume } from './qubes-store.ts';
import {
  element,
  type NewElement,
  writeElement,
  type WrittenElement,
  writeXml,
} from './write-xml.ts';

/** Caches the text of each VM: a change of the store changes one of them, and there may be hundreds. */
const writtenDomains = new WeakMap<StoredQube, WrittenElement>();
/** The nesting depth of a domain in qubes.xml. */
const DOMAIN_DEPTH = 2;

/**
 * Writes a store as the qubes.xml of R4. Domains of unknown classes are not written. Throws FailedError when a
 * setting contains a character that is not allowed in XML.
 */
export function formatQubesXml(store: QubesStore): string {
  return writeXml(
    element(
      'qubes',
      [],
      [
        element('labels', [], store.labels.map(formatLabel)),
        element(
          'pools',
          [],
          Array.from(store.pools, ([name, settings]) =>
            element('pool', [['name', name], ...settings]),
          ),
        ),
        formatProperties(store.properties),
        element('domains', [], store.qubes.map(writtenDomain)),
      ],
    ),
  );
}

function formatLabel({ index, name, color }: QubesStore['labels'][number]): NewElement {
  return element(
    'label',
    [['id', `label-${index}`], ...(color === '' ? [] : [['color', color] as const])],
    name,
  );
}

function writtenDomain(qube: StoredQube): WrittenElement {
  const written = writtenDomains.get(qube) ?? writeElement(formatDomain(qube), DOMAIN_DEPTH);
  writtenDomains.set(qube, written);
  return written;
}

function formatDomain(qube: StoredQube): NewElement {
  return element(
    'domain',
    [
      ['id', `domain-${qube.qid}`],
      ['class', qube.qubeClass],
    ],
    [
      formatProperties(new Map([...fieldsOf(qube), ...qube.properties])),
      element('features', [], named('feature', qube.features)),
      element(
        'tags',
        [],
        Array.from(qube.tags, (tag) => element('tag', [['name', tag]])),
      ),
      ...formatDevices(qube.devices),
      ...(qube.volumes.length > 0
        ? [element('volume-config', [], qube.volumes.map(formatVolume))]
        : []),
    ],
  );
}

/** Properties in qubes.xml that are fields of the model. */
function fieldsOf({ name, qubeClass, qid, uuid, label }: StoredQube): [string, string][] {
  if (qubeClass === 'AdminVM') return [['label', label]];
  return [
    ['label', label],
    ['name', name],
    ['qid', `${qid}`],
    ...(uuid === undefined ? [] : [['uuid', uuid] satisfies [string, string]]),
  ];
}

function formatVolume(volume: StoredVolume): NewElement {
  const { name, pool, vid, size, saveOnStop, revisionsToKeep, ephemeral, settings } = volume;
  return element('volume', [
    ['name', name],
    ['pool', pool],
    ['vid', vid],
    ['size', `${size}`],
    ['save_on_stop', switchWord(saveOnStop)],
    ...attribute('revisions_to_keep', revisionsToKeep, String),
    ...attribute('ephemeral', ephemeral, switchWord),
    ...settings,
  ]);
}

/** None when the value is unknown. */
function attribute<T>(
  name: string,
  value: T | undefined,
  format: (value: T) => string,
): [string, string][] {
  return value === undefined ? [] : [[name, format(value)]];
}

function switchWord(value: boolean): string {
  return value ? 'True' : 'False';
}

function formatProperties(properties: ReadonlyMap<string, string>): NewElement {
  return element('properties', [], named('property', properties));
}

function named(name: string, values: ReadonlyMap<string, string>): NewElement[] {
  return Array.from(values, ([key, value]) => element(name, [['name', key]], value));
}
