import type { coffer } from './generated/coffer.js';

/**
 * The messages as the programs use them: the generated types of coffer.proto, as plain objects with a `kind`. For
 * their meaning see coffer.proto and docs/protocol.md. All numbers are safe integers.
 */
export type Message = {
  [K in MessageKind]: { readonly kind: K } & Fields[K];
}[MessageKind];

export type MessageKind = keyof Fields;

/** The message of one kind. */
export type MessageOf<K extends MessageKind> = Extract<Message, { readonly kind: K }>;

interface Fields {
  storeRequest: Plain<coffer.StoreRequest>;
  fetchRequest: Plain<coffer.FetchRequest>;
  browseRequest: Plain<coffer.BrowseRequest>;
  ready: Plain<coffer.Ready>;
  data: Plain<coffer.Data>;
  end: Plain<coffer.End>;
  progress: Plain<coffer.Progress>;
  stored: Plain<coffer.Stored>;
  read: Plain<coffer.Read>;
  open: Plain<coffer.Open>;
  opened: Plain<coffer.Opened>;
  want: Plain<coffer.Want>;
  lacks: Plain<coffer.Lacks, { code: FailureCode }>;
  entries: Plain<coffer.Entries, { entries: readonly Entry[] }>;
  failure: Plain<coffer.Failure, { code: FailureCode }>;
  deleteRequest: Plain<coffer.DeleteRequest>;
  assembleRequest: Plain<coffer.AssembleRequest>;
  copy: Plain<coffer.Copy>;
  outcome: Plain<coffer.Outcome, { result: DeletionResult }>;
}

export type Entry = Plain<coffer.Entry, { kind: EntryKind }>;
export type EntryKind = keyof typeof coffer.Entry.Kind;

/** What became of a file that was to be deleted. */
export type DeletionResult = keyof typeof coffer.Outcome.Result;

export type Failure = MessageOf<'failure'>;
/** Why a side gives up. */
export type FailureCode = keyof typeof coffer.Failure.Code;

/** Fields of a generated class: bytes as a Buffer, what is absent as undefined, enums (in `Named`) by name. */
type Plain<Class, Named = unknown> = Readonly<Named> & {
  readonly [K in keyof Class as Exclude<K, keyof Named | '$unknowns' | 'toJSON'>]: Value<Class[K]>;
};
type Value<T> = T extends Uint8Array ? Buffer : T extends null ? undefined : T;
