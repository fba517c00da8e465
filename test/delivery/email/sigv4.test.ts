import t from 'tap';
import { signed, uriEncode } from '../../../src/delivery/email/sigv4.ts';

t.test("AWS's own examples", (t) => {
  // "Create a signed AWS API request": ListUsers of IAM.
  const iam = signed(
    {
      method: 'GET',
      path: '/',
      query: 'Action=ListUsers&Version=2010-05-08',
      headers: { host: 'iam.amazonaws.com', 'content-type': 'application/x-www-form-urlencoded; charset=utf-8' },
      body: '',
    },
    {
      accessKeyId: 'AKIDEXAMPLE',
      secretAccessKey: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY',
      region: 'us-east-1',
      service: 'iam',
      nowMs: Date.UTC(2015, 7, 30, 12, 36),
    },
  );
  t.same(iam, {
    'x-amz-date': '20150830T123600Z',
    authorization:
      'AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, ' +
      'SignedHeaders=content-type;host;x-amz-date, ' +
      'Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7',
  });
  // "Authenticating requests (AWS Signature Version 4)" of S3: GET with a range and the hash of an empty body.
  const s3 = signed(
    {
      method: 'GET',
      path: '/test.txt',
      headers: {
        Host: 'examplebucket.s3.amazonaws.com',
        Range: 'bytes=0-9',
        'x-amz-content-sha256': 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
      },
      body: '',
    },
    {
      accessKeyId: 'AKIAIOSFODNN7EXAMPLE',
      secretAccessKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
      region: 'us-east-1',
      service: 's3',
      nowMs: Date.UTC(2013, 4, 24),
    },
  );
  t.match(s3.authorization, /Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41$/);
  t.end();
});

t.test('everything that is sent is signed', (t) => {
  const request = { method: 'POST', path: '/v2/x', headers: { host: 'a.example' }, body: '{}' };
  const signer = { accessKeyId: 'A', secretAccessKey: 'secret', region: 'eu-west-1', service: 'ses', nowMs: 0 };
  const signature = signed(request, signer).authorization;
  const changes = [
    { ...request, method: 'PUT' },
    { ...request, path: '/v2/y' },
    { ...request, query: 'a=b' },
    { ...request, headers: { host: 'b.example' } },
    { ...request, body: '{ }' },
  ];
  const others = changes.map((other) => signed(other, signer).authorization);
  t.equal(new Set([signature, ...others]).size, 6);
  t.not(signed(request, { ...signer, secretAccessKey: 'other' }).authorization, signature);
  t.equal(uriEncode("a/b c!'()*~@é"), 'a%2Fb%20c%21%27%28%29%2A~%40%C3%A9');
  t.end();
});
