import { FailedError } from '../../shared/errors.ts';

/** The Qubes system does not answer any more: not one call is refused, but none can be made. */
export class SystemGoneError extends FailedError {}
