/** What is wrong with an image, in words that follow its name. */
export class BadImage extends Error {
  override readonly name = 'BadImage';
}
