/**
 * The value of the feature `menu-items` (separated by spaces) that an R3 `whitelisted-appmenus.list`
 * becomes: a line for each `.desktop` file. Lines that are no plain file name are left out.
 */
export function menuItemsOf(untrustedList: string): string {
  return untrustedList
    .split(/\r?\n/)
    .filter((untrustedLine) => /^[A-Za-z0-9_+@:.-]{1,255}$/.test(untrustedLine))
    .join(' ');
}
