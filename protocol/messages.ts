/**
 * The messages of the protocol as the programs use them: plain objects, told apart by `kind`. What
 * they mean: coffer.proto and docs/protocol.md. All numbers of bytes and offsets are safe integers.
 */
export type Message =
  | StoreRequest
  | FetchRequest
  | BrowseRequest
  | Ready
  | Data
  | End
  | Progress
  | Stored
  | Read
  | Seek
  | Entries
  | Failure;

export type MessageKind = Message['kind'];

/** Where a stream is to be stored: in a new file of a directory, or by a shell command. */
export type StoreTarget =
  { readonly directory: string; readonly fileName: string } | { readonly command: string };

/** Where a stream is to come from: a file, or a shell command. */
export type FetchSource = { readonly file: string } | { readonly command: string };

export interface StoreRequest {
  readonly kind: 'storeRequest';
  readonly version: number;
  readonly target: StoreTarget;
  readonly expectedBytes: number | undefined;
}

export interface FetchRequest {
  readonly kind: 'fetchRequest';
  readonly version: number;
  readonly source: FetchSource;
}

export interface BrowseRequest {
  readonly kind: 'browseRequest';
  readonly version: number;
  readonly directory: string;
}

export interface Ready {
  readonly kind: 'ready';
  readonly version: number;
  readonly path: string;
  readonly freeBytes: number | undefined;
  readonly size: number | undefined;
  readonly seekable: boolean;
}

export interface Data {
  readonly kind: 'data';
  readonly offset: number;
  readonly bytes: Buffer;
}

export interface End {
  readonly kind: 'end';
  readonly bytes: number;
  /** 32 bytes at the end of a Store, none at the end of a Fetch. */
  readonly sha256: Buffer;
}

export interface Progress {
  readonly kind: 'progress';
  readonly bytes: number;
}

export interface Stored {
  readonly kind: 'stored';
  readonly path: string;
  readonly bytes: number;
  readonly sha256: Buffer;
}

export interface Read {
  readonly kind: 'read';
  readonly bytes: number;
}

export interface Seek {
  readonly kind: 'seek';
  readonly offset: number;
}

export type EntryKind = 'file' | 'directory' | 'other';

export interface Entry {
  readonly name: string;
  readonly kind: EntryKind;
  /** Of a file, in bytes. */
  readonly size: number;
}

export interface Entries {
  readonly kind: 'entries';
  readonly entries: readonly Entry[];
  readonly last: boolean;
  readonly truncated: boolean;
}

/** Why a side gives up. */
export type FailureCode =
  | 'unspecified'
  | 'protocol'
  | 'version'
  | 'bad-request'
  | 'not-found'
  | 'not-a-directory'
  | 'not-a-file'
  | 'permission'
  | 'read-only'
  | 'exists'
  | 'no-space'
  | 'too-large'
  | 'command-failed'
  | 'io'
  | 'corrupted'
  | 'cancelled';

export interface Failure {
  readonly kind: 'failure';
  readonly code: FailureCode;
  readonly message: string;
  /** How a command ended, and the end of what it wrote to its standard error. */
  readonly exitStatus: number | undefined;
  readonly signal: string;
  readonly lastWords: string;
}
