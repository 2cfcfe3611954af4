/** Every failure of a Vitest report: of its tests, and of files that failed as a whole. */
export function failuresOf(report) {
  return report.testResults.flatMap((file) => {
    const tests = file.assertionResults
      .filter(({ status }) => status === "failed")
      .map(({ fullName, failureMessages }) => ({
        file: file.name,
        test: fullName,
        message: failureMessages.join("\n"),
      }));
    if (file.status !== "failed" || tests.length > 0) return tests;
    return [{ file: file.name, test: "(the whole file)", message: file.message ?? "" }];
  });
}

/**
 * Whether a failure may have been the machine's: something took too long. A wrong answer is never forgiven,
 * however rare it is: a row of another human in one run of a hundred is what these tests are there to find.
 */
export function isForgivable({ message }) {
  return /timed out|did not happen within|did not end within|ETIMEDOUT|EADDRINUSE/i.test(message);
}
