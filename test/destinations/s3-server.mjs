// As much of an S3 server as rclone uses: s3-server.mjs DIRECTORY serves each directory in it as a bucket, and each file
// in that as an object, and prints its port. An object exists once it is complete, as in S3. Signatures are not checked.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html
import { createHash, randomUUID } from 'node:crypto';
import {
  createReadStream,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import { dirname, join } from 'node:path';
import { buffer } from 'node:stream/consumers';

const directory = process.argv[2];
/** The ETag of each object, and the headers that it was uploaded with. */
const objects = new Map();
/** The key, the headers, and the parts by number of each multipart upload. */
const uploads = new Map();

const md5 = (bytes) => createHash('md5').update(bytes).digest('hex');
const fileOf = (path) => join(directory, path);

function put(path, bytes, etag, headers) {
  mkdirSync(dirname(fileOf(path)), { recursive: true });
  writeFileSync(fileOf(path), bytes);
  const kept = Object.entries(headers).filter(([name]) => name.startsWith('x-amz-meta-'));
  objects.set(path, { etag: `"${etag}"`, headers: Object.fromEntries(kept) });
}

/** All files below a directory, as relative paths. */
function filesIn(path) {
  return readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name).slice(path.length + 1))
    .toSorted();
}

function listing(bucket, query) {
  const [prefix, delimiter] = [query.get('prefix') ?? '', query.get('delimiter') ?? ''];
  const keys = filesIn(fileOf(bucket)).filter((key) => key.startsWith(prefix));
  const isDeeper = (key) => delimiter !== '' && key.slice(prefix.length).includes(delimiter);
  const folders = keys
    .filter(isDeeper)
    .map((key) => key.slice(0, key.indexOf(delimiter, prefix.length) + 1));
  const contents = keys
    .filter((key) => !isDeeper(key))
    .map((key) => {
      const { size, mtime } = statSync(fileOf(join(bucket, key)));
      const { etag } = objects.get(join(bucket, key));
      return `<Contents><Key>${key}</Key><LastModified>${mtime.toISOString()}</LastModified><ETag>${etag}</ETag><Size>${size}</Size></Contents>`;
    });
  const prefixes = [...new Set(folders)].map(
    (folder) => `<CommonPrefixes><Prefix>${folder}</Prefix></CommonPrefixes>`,
  );
  return `<ListBucketResult><IsTruncated>false</IsTruncated>${contents.join('')}${prefixes.join('')}</ListBucketResult>`;
}

function sendObject(path, { method, headers }, response) {
  const { size, mtime } = statSync(fileOf(path));
  const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(headers.range ?? '') ?? [];
  const [first, last] = [Number(from ?? 0), Number(to || size - 1)];
  const { etag, headers: kept } = objects.get(path);
  response.writeHead(from === undefined ? 200 : 206, {
    ...{ ...kept, etag, 'last-modified': mtime.toUTCString(), 'accept-ranges': 'bytes' },
    ...{ 'content-length': last - first + 1 },
    ...(from === undefined ? {} : { 'content-range': `bytes ${first}-${last}/${size}` }),
  });
  if (method === 'HEAD' || size === 0) response.end();
  else createReadStream(fileOf(path), { start: first, end: last }).pipe(response);
}

/** Returns the XML of an answer, undefined if it has been sent already, or null if there is no such object. */
async function answer(request, response) {
  const { pathname, searchParams: query } = new URL(request.url, 'http://localhost');
  const path = decodeURIComponent(pathname).replace(/^\/+|\/+$/g, '');
  const isBucket = !path.includes('/');
  const body = await buffer(request);
  const [method, upload] = [request.method, uploads.get(query.get('uploadId'))];
  if (method === 'POST' && query.has('uploads')) {
    const id = randomUUID();
    uploads.set(id, { path, headers: request.headers, parts: new Map() });
    return `<InitiateMultipartUploadResult><UploadId>${id}</UploadId></InitiateMultipartUploadResult>`;
  }
  if (method === 'PUT' && query.has('partNumber')) {
    upload.parts.set(Number(query.get('partNumber')), body);
    response.setHeader('etag', `"${md5(body)}"`);
    return '';
  }
  if (method === 'POST' && upload !== undefined) {
    const numbers = [...String(body).matchAll(/<PartNumber>(\d+)</g)].map(([, each]) => each);
    const parts = numbers.map((number) => upload.parts.get(Number(number)));
    const digests = parts.map((part) => createHash('md5').update(part).digest());
    put(
      path,
      Buffer.concat(parts),
      `${md5(Buffer.concat(digests))}-${parts.length}`,
      upload.headers,
    );
    uploads.delete(query.get('uploadId'));
    return `<CompleteMultipartUploadResult><ETag>${objects.get(path).etag}</ETag></CompleteMultipartUploadResult>`;
  }
  if (method === 'PUT' && request.headers['x-amz-copy-source'] !== undefined) {
    const source = decodeURIComponent(request.headers['x-amz-copy-source']).replace(/^\/+/, '');
    const bytes = readFileSync(fileOf(source));
    put(path, bytes, md5(bytes), objects.get(source).headers);
    return `<CopyObjectResult><ETag>${objects.get(path).etag}</ETag></CopyObjectResult>`;
  }
  if (method === 'PUT') {
    if (isBucket) mkdirSync(fileOf(path), { recursive: true });
    else put(path, body, md5(body), request.headers);
    if (!isBucket) response.setHeader('etag', objects.get(path).etag);
    return '';
  }
  if (method === 'DELETE') {
    objects.delete(path);
    rmSync(fileOf(path), { force: true });
    response.statusCode = 204;
    return '';
  }
  if (isBucket ? !existsSync(fileOf(path)) : !objects.has(path)) return null;
  if (isBucket) return method === 'HEAD' ? '' : listing(path, query);
  sendObject(path, request, response);
  return undefined;
}

const server = createServer((request, response) => {
  answer(request, response).then(
    (xml) => {
      if (xml === null) response.statusCode = 404;
      if (xml !== undefined) response.end(xml);
    },
    // The connection broke.
    () => response.destroy(),
  );
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
